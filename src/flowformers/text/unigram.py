"""Unigram as graph ops with exactly the ids of the `tokenizers` library (XLM-R, CamemBERT)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from flowformers.errors import InvalidInput
from flowformers.prepared import held
from flowformers.text import charmap
from flowformers.text.graphemes import Graphemes, charsmap_of
from flowformers.text.lookup import RESERVED, lookup, table_of
from flowformers.text.rewriting import buffer, tensorflow_text
from flowformers.text.specials import WHITE_SPACE, AddedToken, added_tokens, valid_utf8, where_held
from flowformers.text.tokens import Tokens
from flowformers.text.viterbi import Viterbi
from flowformers.text.weaving import Woven
from flowformers.text.wordpiece import LONGEST, PRIVATE
from flowformers.types import Tensor


class Unigram:
    """text: string [n] -> ragged ids, without the post-processor's specials.

    Made from a tokenizer.json; raises InvalidInput that names what it can't reproduce. Within, a token is a number: 0
    for an unknown one, then the vocabulary's pieces and the added tokens, each of which is one private letter in text.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._space, self._at_any_space = _spaces(settings)
        vocab, unknown = _vocab(settings["model"])
        added = _added(settings, vocab[unknown][0])
        pieces = [piece for piece, _ in vocab]
        self._find = Viterbi(pieces, [score for _, score in vocab], unknown + 1)
        held = set("".join(pieces))
        self._other, *letters = [chr(code) for code in PRIVATE if chr(code) not in held][: len(added) + 1]
        self._letters = dict(zip(letters, added, strict=True))
        self._words = table_of([*_alone(settings, pieces), *letters])
        self._ids = np.array([unknown, *range(len(vocab)), *(token.id for token in added)], np.int32)
        precompiled, self._tidy = _normalizer(settings, self._at_any_space)
        self._graphemes = Graphemes(precompiled, frozenset(map(ord, letters))) if precompiled else None
        single = self._graphemes.single if self._graphemes else {}
        blanks = WHITE_SPACE if self._at_any_space else ()
        self._table = charmap.build(_mapping({ord(RESERVED): self._other} | single, blanks), {})

    def __call__(self, text: Tensor) -> Any:
        """text: string [n]. Returns a RaggedTensor of int64 ids [n, (tokens)]."""
        import tensorflow as tf

        words = self._cut(self._marked(text))
        woven = Woven.of(words.values, lookup(self._words, words.values), self._find)
        tokens = woven.tokens()
        return woven.rows(tf.ones_like(tokens, tf.bool), words.row_splits[1:])(
            tf.cast(tf.gather(held(self._ids), tokens), tf.int64)
        )

    def _marked(self, text: Tensor) -> Tensor:
        """Added tokens as their letters, which text of a client never holds."""
        import tensorflow as tf

        def marked(x: Tensor) -> Tensor:
            for letter, token in sorted(self._letters.items(), key=lambda item: item[1].normalized):
                x = tf.strings.regex_replace(x, token.pattern(token.content), letter)
            return x

        x = tf.strings.regex_replace(valid_utf8(text), f"[{''.join(self._letters)}]", self._other)
        return where_held(x, [token.content for token in self._letters.values()], marked)

    def _cut(self, text: Tensor) -> Any:
        """Normalised words [n, (words)], each with the sign for a space in front."""
        import tensorflow as tf

        x = self._graphemes(text) if self._graphemes else text
        x = tensorflow_text().FastBertNormalizer(model_buffer=buffer(self._table)).normalize(x)
        if self._tidy:
            x = tf.strings.regex_replace(x, " {2,}", " ")
        begins = self._space if self._at_any_space else f"[ {self._space}]"
        letters = "".join(self._letters)
        x = tf.strings.regex_replace(x, begins, f" {self._space}")
        words = tf.strings.split(tf.strings.regex_replace(x, f"([{letters}])", r" \1 "), sep=" ")
        words = tf.ragged.boolean_mask(words, words != "")
        added = tf.strings.regex_replace(words.values, f"^([^{self._space}{letters}])", rf"{self._space}\1")
        return words.with_values(added)

    def with_offsets(self, text: Tensor) -> Tokens:
        """Raises InvalidInput."""
        raise InvalidInput("Unigram tokenizers have no offsets in a graph, which this signature needs: send ids")


def _vocab(model: Mapping[str, Any]) -> tuple[list[tuple[str, float]], int]:
    """The pieces with their scores, and the place of the unknown one. Raises InvalidInput."""
    if model.get("byte_fallback") or model.get("unk_id") is None:
        raise InvalidInput(
            "expected Unigram with an unk_id and without byte_fallback in tokenizer.json; got "
            f"unk_id={model.get('unk_id')} and byte_fallback={model.get('byte_fallback', False)}"
        )
    vocab = [(str(piece), float(score)) for piece, score in model["vocab"]]
    long = [piece for piece, _ in vocab if len(piece.encode()) > LONGEST]
    if long:
        shown = f"{len(long)} pieces of more than {LONGEST} bytes ({long[0][:20]!r}...)"
        raise InvalidInput(f"the vocabulary holds {shown}, which has no exact graph form")
    return vocab, int(model["unk_id"])


def _added(settings: Mapping[str, Any], unknown: str) -> list[AddedToken]:
    added = added_tokens(settings)
    normalized = [token.content for token in added if token.normalized]
    if normalized:
        raise InvalidInput(f"added tokens {normalized} are found after normalisation: no exact graph form with Unigram")
    if unknown not in [token.content for token in added]:
        raise InvalidInput(f"expected the unknown token {unknown!r} among the added tokens of tokenizer.json")
    return added


def _alone(settings: Mapping[str, Any], pieces: list[str]) -> list[str]:
    """The pieces, with an unreachable name where one alone is split into others."""
    from tokenizers import models

    model = models.Unigram([tuple(piece) for piece in settings["model"]["vocab"]], settings["model"]["unk_id"], False)
    return [piece if len(model.tokenize(piece)) == 1 else f"\uf8ff{number}" for number, piece in enumerate(pieces)]


def _spaces(settings: Mapping[str, Any]) -> tuple[str, bool]:
    """The sign for a space, and whether words end at any white space. Raises InvalidInput where it is otherwise."""
    cut = settings.get("pre_tokenizer") or {}
    *before, last = cut["pretokenizers"] if cut.get("type") == "Sequence" else [cut]
    if last.get("type") != "Metaspace" or [one["type"] for one in before] not in ([], ["WhitespaceSplit"]):
        raise InvalidInput(
            "expected a pre_tokenizer of Metaspace, or of WhitespaceSplit and Metaspace, beside Unigram in "
            f"tokenizer.json; got {cut or None}"
        )
    if last.get("prepend_scheme", "always") != "always" or not last.get("split", True):
        raise InvalidInput(f"expected Metaspace with prepend_scheme 'always' and split in tokenizer.json; got {last}")
    return str(last.get("replacement", "▁")), bool(before)


def _mapping(single: Mapping[int, str], blanks: Iterable[int]) -> dict[int, str]:
    """Characters -> what they become, by the normaliser's entries and with plain spaces for blanks."""
    spaced = dict.fromkeys(blanks, " ")
    texts = {code: chr(code) for code in blanks} | dict(single)
    return {code: text.translate(spaced) for code, text in texts.items() if text.translate(spaced) != chr(code)}


def _normalizer(settings: Mapping[str, Any], at_any_space: bool) -> tuple[bytes | None, bool]:
    """The charsmap of the normalizer, and whether several spaces become one behind it. Raises InvalidInput."""
    normalizer = settings.get("normalizer")
    if normalizer is None:
        return None, False
    parts = normalizer["normalizers"] if normalizer["type"] == "Sequence" else [normalizer]
    kinds = [one["type"] for one in parts]
    first, *rest = parts
    harmless = ("Strip", "Replace") if at_any_space else ("Replace",)
    if kinds[0] != "Precompiled" or not all(kind in harmless for kind in kinds[1:]):
        raise InvalidInput(
            f"expected a normalizer of Precompiled beside Unigram in tokenizer.json; got {', '.join(kinds)}"
        )
    for one in rest:
        if one["type"] == "Replace" and (one["pattern"], one["content"]) != ({"Regex": " {2,}"}, " "):
            raise InvalidInput(f"expected no Replace but of several spaces by one in tokenizer.json; got {one}")
    return charsmap_of(first), "Replace" in kinds
