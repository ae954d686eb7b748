"""Rewriting a text step by step, and where each character of the result stood in the original."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from flowformers.errors import MissingDependency
from flowformers.prepared import held
from flowformers.text.specials import WHITE_SPACE, AddedToken, mark
from flowformers.types import Array, Tensor

END = "\0"  # behind every row, so that no character has a neighbour in another row


def tensorflow_text() -> Any:
    """The package. Raises MissingDependency."""
    try:
        import tensorflow_text
    except ImportError as error:
        raise MissingDependency("text in a graph needs tensorflow-text: pip install 'flowformers[cpu]'") from error
    return tensorflow_text


def buffer(table: bytes) -> Tensor:
    """A table as the ops of tensorflow_text take it. Given bytes, that package would turn them into a list first."""
    return held(np.frombuffer(table, np.uint8))


def piece_model(names: Sequence[str], longest: int, prefix: str, unknown: str) -> bytes:
    """FastWordpiece's table of a vocabulary for words that are cut already. longest: bytes of a word."""
    cut_already, joins_again = True, False
    build = tensorflow_text().build_fast_wordpiece_model  # takes no keywords
    return build(list(names), longest, prefix, unknown, cut_already, joins_again)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Characters:
    """The characters of n texts in one row, each text closed by END: those of UTF-8, and single bytes that are none.

    bytes: int32 [b]; splits: int64 [n + 1], where each text's bytes begin; leads: bool [b], whether a byte is its
    character's first; owner: int64 [b], the character that it belongs to.
    """

    bytes: Tensor
    splits: Tensor
    leads: Tensor
    owner: Tensor

    @classmethod
    def of(cls, text: Tensor) -> Characters:
        """text: string [n], without invalid bytes other than marks."""
        import tensorflow as tf

        found = tf.strings.unicode_decode(tf.strings.join([text, END]), "ISO-8859-1")  # which is byte by byte
        leads = found.values & 0xC0 != 0x80
        return cls(found.values, found.row_splits, leads, tf.cumsum(tf.cast(leads, tf.int64)) - 1)

    def first_bytes(self) -> Tensor:
        """int32 [c]."""
        import tensorflow as tf

        return tf.boolean_mask(self.bytes, self.leads)


@dataclass(frozen=True)
class Spans:
    """Which part of the original text each character comes from. start, end: int64 [c], in characters of its row."""

    characters: Characters
    start: Tensor
    end: Tensor

    @classmethod
    def original(cls, text: Tensor) -> Spans:
        """Every character comes from itself. text: string [n], valid UTF-8."""
        import tensorflow as tf

        characters = Characters.of(text)
        counts = tf.gather(tf.concat([[0], characters.owner + 1], 0), characters.splits)
        place = tf.ragged.range(counts[1:] - counts[:-1]).values
        return cls(characters, place, place + 1)

    def moved(self, characters: Characters, first: Tensor, last: Tensor) -> Spans:
        """The spans of a rewritten text whose characters come from those numbered first to last here, int64 [c]."""
        import tensorflow as tf

        return Spans(characters, tf.gather(self.start, first), tf.gather(self.end, last))


class Step(Protocol):
    """One rewriting of texts."""

    def __call__(self, text: Tensor) -> Tensor:
        """text: string [n]."""
        ...

    def follow(self, text: Tensor, spans: Spans) -> tuple[Tensor, Spans]:
        """The rewritten text, and its spans from those of `text`."""
        ...


class Marks:
    """Added tokens -> their bytes. spellings: token -> how it is written in the text that is searched.

    The white space that a token swallows stays in the text: it separates words and is no part of any.
    """

    def __init__(self, tokens: Sequence[AddedToken], spellings: Mapping[str, str]) -> None:
        self._tokens, self._spellings = tokens, spellings

    def __call__(self, text: Tensor) -> Tensor:
        """text: string [n]."""
        return mark(text, self._tokens, self._spellings, swallow=False)

    def follow(self, text: Tensor, spans: Spans) -> tuple[Tensor, Spans]:
        """The marked text, and its spans from those of `text`."""
        import tensorflow as tf

        marked = self(text)
        characters = Characters.of(marked)
        widths = self._by_byte(lambda token: len(self._spellings[token.content]), 1)
        after = tf.cumsum(tf.gather(widths, characters.first_bytes()))
        found = spans.moved(characters, tf.concat([[0], after[:-1]], 0), after - 1)
        swallows = any(token.lstrip or token.rstrip for token in self._tokens)
        return marked, self._widened(marked, found) if swallows else found

    def _by_byte(self, value: Callable[[AddedToken], int], default: int) -> Array:
        table = np.full(256, default, np.int64)
        for token in self._tokens:
            table[token.byte] = value(token)
        return table

    def _widened(self, text: Tensor, spans: Spans) -> Spans:
        """Tokens with lstrip or rstrip reach over the white space beside them; to the left, where it is not taken."""
        import tensorflow as tf

        first = spans.characters.first_bytes()
        code = tf.strings.unicode_decode(tf.strings.join([text, END]), "UTF-8").values
        solid = ~tf.reduce_any(code[:, None] == tf.constant(WHITE_SPACE)[None, :], axis=1)
        places = tf.concat([[-1], tf.where(solid)[:, 0], [0]], 0)
        rank = tf.cumsum(tf.cast(solid, tf.int64))  # of the last solid character so far, from 1
        before, after = tf.gather(places, tf.maximum(rank - 1, 0)), tf.gather(places, rank + 1)
        left = tf.gather(self._by_byte(lambda token: int(token.lstrip), 0), first) > 0
        right = tf.gather(self._by_byte(lambda token: int(token.rstrip), 0), first) > 0
        taken = (before >= 0) & tf.gather(right, tf.maximum(before, 0))
        return replace(
            spans,
            start=tf.where(left & ~taken, tf.gather(spans.start, before + 1), spans.start),
            end=tf.where(right, tf.gather(spans.end, tf.maximum(after - 1, 0)), spans.end),
        )


class Table:
    """Characters -> what a table of charmap.build says."""

    def __init__(self, table: bytes) -> None:
        self._table = table

    def _normalizer(self) -> Any:
        return tensorflow_text().FastBertNormalizer(model_buffer=buffer(self._table))

    def __call__(self, text: Tensor) -> Tensor:
        """text: string [n]."""
        return self._normalizer().normalize(text)

    def follow(self, text: Tensor, spans: Spans) -> tuple[Tensor, Spans]:
        """The rewritten text, and its spans from those of `text`."""
        import tensorflow as tf

        rewritten, places = self._normalizer().normalize_with_offsets(text)
        characters = Characters.of(rewritten)
        # places: for every byte of the result and the end, a byte of the text in the same row
        source = places.values + tf.gather(spans.characters.splits, places.value_rowids())
        origin = tf.gather(spans.characters.owner, tf.boolean_mask(source, characters.leads))
        return rewritten, spans.moved(characters, origin, origin)
