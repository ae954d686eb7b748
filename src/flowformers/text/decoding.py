"""Tokens -> text in a graph, as the decoder of a tokenizer.json does it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from flowformers.errors import InvalidInput
from flowformers.text.bytewords import ALPHABET
from flowformers.text.specials import valid_utf8
from flowformers.types import Array, Tensor

# The order matters: each sees what the ones before it left.
CLEANED = (
    (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"),
    (" do not", " don't"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
)  # fmt: skip
# What transformers' clean_up_tokenization replaces in a whole text: as the decoder of WordPiece in each token, but one.
CLEANED_UP = tuple(pair for pair in CLEANED if pair[0] != " do not")


class Decoder(Protocol):
    """What joins tokens to text."""

    def pieces(self, tokens: Tensor, first: Tensor) -> Tensor:
        """tokens: string [n]; first: bool [n], whether it begins a text. Returns what each adds to the text."""
        ...

    def finish(self, joined: Tensor) -> Tensor:
        """The text from its joined pieces; string [n]."""
        ...


def clean_up(text: Tensor) -> Tensor:
    """transformers' clean_up_tokenization: no spaces before punctuation and short forms. text: string [n]."""
    return _replaced(text, CLEANED_UP)


def _replaced(text: Tensor, pairs: Sequence[tuple[str, str]]) -> Tensor:
    import tensorflow as tf

    for written, short in pairs:
        text = tf.strings.regex_replace(text, written.replace(".", r"\.").replace("?", r"\?"), short)
    return text


class WordPieceDecoder:
    """A space before every token but the first and those with the prefix; no space before punctuation."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._prefix, self._cleanup = str(settings["prefix"]), bool(settings["cleanup"])

    def pieces(self, tokens: Tensor, first: Tensor) -> Tensor:
        """See Decoder."""
        import tensorflow as tf

        size = len(self._prefix.encode())
        continues = tf.strings.substr(tokens, 0, size) == self._prefix
        rest = tf.strings.substr(tokens, tf.where(continues, size, 0), tf.fill(tf.shape(tokens), 2**31 - 1))
        found = tf.where(first, tokens, tf.where(continues, rest, tf.strings.join([" ", tokens])))
        return _replaced(found, CLEANED) if self._cleanup else found

    def finish(self, joined: Tensor) -> Tensor:
        """Nothing is left to do."""
        return joined


class ByteLevelDecoder:
    """Letters of the byte alphabet are bytes; a token that holds any other letter stays as it is."""

    def pieces(self, tokens: Tensor, first: Tensor) -> Tensor:
        """See Decoder. A piece may be a part of a character."""
        import tensorflow as tf

        letters = tf.strings.unicode_decode(tokens, "UTF-8")
        number = tf.gather(_numbers(), tf.minimum(letters.values, max(map(ord, ALPHABET)) + 1))
        owner, count = letters.value_rowids(), tf.size(tokens)
        raw = tf.gather([bytes([byte]) for byte in range(256)], tf.maximum(number, 0))
        foreign = tf.math.unsorted_segment_sum(tf.cast(number < 0, tf.int32), owner, count) > 0
        return tf.where(foreign, tokens, tf.strings.unsorted_segment_join(raw, owner, count))

    def finish(self, joined: Tensor) -> Tensor:
        """Bytes that make no character are replaced."""
        return valid_utf8(joined)


def _numbers() -> Array:
    """Code point -> byte, -1 for letters that stand for none."""
    table = np.full(max(map(ord, ALPHABET)) + 2, -1, np.int32)
    table[[ord(letter) for letter in ALPHABET]] = np.arange(256)
    return table


def decoder_of(settings: Mapping[str, Any] | None) -> Decoder:
    """The decoder that a tokenizer.json asks for. Raises InvalidInput."""
    kind = (settings or {}).get("type")
    if settings is not None and kind == "WordPiece":
        return WordPieceDecoder(settings)
    if kind == "ByteLevel":
        return ByteLevelDecoder()
    raise InvalidInput(f"expected a decoder with a graph form in tokenizer.json; got {kind}")
