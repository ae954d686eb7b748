"""Byte-level BPE as graph ops with exactly the ids and offsets of the `tokenizers` library (RoBERTa).

A word that is one token is looked up; SentencePiece merges the others: its BPE is the same where every merge's result,
alone, is one token.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from flowformers.errors import InvalidInput
from flowformers.prepared import held
from flowformers.text.bytewords import ALPHABET, ByteWords, Words, spelled
from flowformers.text.lookup import lookup, table_of
from flowformers.text.sentencepiece import model_file, tokenize
from flowformers.text.specials import AddedToken, added_tokens
from flowformers.text.tokens import Tokens
from flowformers.text.trim import Trim, trims
from flowformers.text.weaving import Woven
from flowformers.types import Array, Tensor

LOWEST = -1e6  # the score of single bytes, below every merge's
REFUSED = ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "ignore_merges")


class ByteLevelBPE:
    """text: string [n] -> ragged ids, without the post-processor's specials.

    Made from a tokenizer.json; raises InvalidInput that names what it can't reproduce. Within, a token is a number: 0
    for none, then the vocabulary's pieces, the added tokens, EDGE, and white space that an added token swallows.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        _check(settings)
        vocab: dict[str, int] = settings["model"]["vocab"]
        pieces, added = _pieces(settings["model"]), added_tokens(settings, reserved=1)
        self._words = ByteWords(added, add_prefix_space=settings["pre_tokenizer"].get("add_prefix_space", True))
        scores = (LOWEST if len(one) == 1 else -float(number) for number, one in enumerate(pieces))
        self._model = model_file(zip(map(spelled, pieces), scores, strict=True))
        self._table = table_of([*map(spelled, pieces), *self._words.letters])
        contents = ["", *pieces, *(token.content for token in added), "", ""]
        self._edge, self._swallowed = len(contents) - 2, len(contents) - 1
        self._ids = np.array([0, *(vocab[piece] for piece in pieces), *(token.id for token in added)], np.int32)
        self._sizes = np.array([len(content) for content in contents], np.int32)  # in bytes, of pieces
        # White space between two tokens is the first one's, unless only the second was found in the raw text.
        self._contested = any(token.normalized and token.rstrip for token in added) and any(
            token.lstrip and not token.normalized for token in added
        )
        self._left = _flags(contents, added, lambda token: token.lstrip)
        self._right = _flags(contents, added, lambda token: token.rstrip)
        self._trims = [Trim(contents, add_prefix_space=prefix) for prefix in trims(settings.get("post_processor"))]

    def __call__(self, text: Tensor) -> Any:
        """text: string [n]. Returns a RaggedTensor of int64 ids [n, (tokens)]."""
        words, woven = self._woven(text)
        tokens = woven.tokens()
        return self._ids_of(woven.rows(tokens < self._edge, words.ends)(tokens))

    def with_offsets(self, text: Tensor) -> Tokens:
        """text: string [n]. Raises InvalidInput for added tokens whose offsets have no exact graph form."""
        if self._contested:
            raise InvalidInput(
                "added tokens that are normalized have rstrip and others lstrip: which takes the white space between "
                "them has no exact graph form, and so have offsets"
            )
        words, woven = self._woven(text)
        tokens = woven.tokens()
        rows = woven.rows(tokens < self._edge, words.ends)
        content = self._spans(words, woven)
        spans = self._with_swallowed(tokens, *content)
        start, end = self._trimmed(rows(tokens), *(rows(x) for x in (*content, *spans)))
        return Tokens(self._ids_of(rows(tokens)), start, end, rows(woven.of_words(self._numbers(words, woven))))

    def _woven(self, text: Tensor) -> tuple[Words, Woven]:
        words = self._words(text)
        return words, Woven.of(words.text, self._looked_up(words), partial(tokenize, self._model))

    def _looked_up(self, words: Words) -> Tensor:
        """int64 [w]: each word's token, 0 where it has several."""
        import tensorflow as tf

        tokens = lookup(self._table, words.text)
        if not (self._left.any() or self._right.any()):
            return tokens
        beside = _next(tf.gather(self._left, tokens), False) | _previous(tf.gather(self._right, tokens), False)
        return tf.where(words.space & beside, tf.constant(self._swallowed, tf.int64), tokens)

    def _ids_of(self, tokens: Any) -> Any:
        import tensorflow as tf

        return tokens.with_values(tf.cast(tf.gather(held(self._ids), tokens.values), tf.int64))

    def _spans(self, words: Words, woven: Woven) -> tuple[Tensor, Tensor]:
        """int64 [t] each: the characters of its text where a token begins and ends, without what it swallows."""
        import tensorflow as tf

        length = words.begin[1:] - words.begin[:-1]
        size = woven.stitch(length, tf.cast(tf.gather(held(self._sizes), woven.pieces.values), tf.int64))
        end = tf.cumsum(size)
        origin = woven.of_words(tf.gather(words.origins(), words.owners()))
        start, end = words.spans(end - size, end)
        return start - origin, end - origin

    def _with_swallowed(self, tokens: Tensor, start: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
        """The spans of added tokens widened by the white space beside them that they swallow. All int64 [t]."""
        import tensorflow as tf

        swallowed = tokens == self._swallowed
        left = tf.gather(self._left, tokens) & _previous(swallowed, False)
        right = tf.gather(self._right, tokens) & _next(swallowed, False)
        return tf.where(left, _previous(start, 0), start), tf.where(right, _next(end, 0), end)

    def _trimmed(self, tokens: Any, content: Any, content_end: Any, start: Any, end: Any) -> tuple[Any, Any]:
        """start and end without the spaces that the post-processor trims. All ragged int64 [n, (tokens)]."""
        import tensorflow as tf

        first = tf.ragged.range(tokens.row_lengths()).values == 0
        blank = content.values - start.values, end.values - content_end.values
        spans = start.values, end.values
        for trim in self._trims:
            spans = trim(tokens.values, first, blank, *spans)
        return start.with_values(spans[0]), end.with_values(spans[1])

    def _numbers(self, words: Words, woven: Woven) -> Tensor:
        """int64 [w]: the number of each word in its text, from 0; of words that are tokens."""
        import tensorflow as tf

        real = tf.cumsum(tf.concat([[0], tf.cast(woven.words < self._edge, tf.int64)], 0))
        before = tf.gather(real, tf.concat([[0], words.ends], 0))
        return real[1:] - 1 - tf.gather(before, words.owners())


def _next(x: Tensor, last: Any) -> Tensor:
    import tensorflow as tf

    return tf.concat([x, [last]], 0)[1:]


def _previous(x: Tensor, first: Any) -> Tensor:
    import tensorflow as tf

    return tf.concat([[first], x], 0)[:-1]


def _check(settings: Mapping[str, Any]) -> None:
    normalizer, cut, model = settings.get("normalizer"), settings.get("pre_tokenizer") or {}, settings["model"]
    if normalizer is not None:
        raise InvalidInput(f"expected no normalizer beside BPE in tokenizer.json; got {normalizer.get('type')}")
    if cut.get("type") != "ByteLevel" or not cut.get("use_regex", True):
        raise InvalidInput(
            f"expected a pre_tokenizer of type ByteLevel with use_regex in tokenizer.json; got {cut or None}. "
            "It has no graph form here"
        )
    for name in REFUSED:
        if model.get(name):
            raise InvalidInput(f"BPE with {name}={model[name]!r} in tokenizer.json has no exact graph form")


def _pieces(model: Mapping[str, Any]) -> list[str]:
    """Every token that BPE can come to, by rank: bytes, then what merges make. Raises InvalidInput.

    Where a merge's result is not one token by itself, merging by pairs and by results differ.
    """
    from tokenizers import models

    missing = [letter for letter in ALPHABET if letter not in model["vocab"]]
    if missing:
        raise InvalidInput(f"expected all 256 bytes in the vocabulary; missing: {' '.join(missing)}")
    merges = [tuple(merge.split(" ") if isinstance(merge, str) else merge) for merge in model["merges"]]
    results = ["".join(merge) for merge in merges]
    bpe = models.BPE(model["vocab"], merges)
    odd = [one for one in results if len(bpe.tokenize(one)) != 1]
    if odd or len(set(results)) < len(results):
        raise InvalidInput(
            f"{len(odd)} merges have results that are not one token by themselves ({odd[:3]}), and "
            f"{len(results) - len(set(results))} repeat another's result, which has no exact graph form"
        )
    return [*ALPHABET, *results]


def _flags(contents: Sequence[str], added: Sequence[AddedToken], is_set: Callable[[AddedToken], bool]) -> Array:
    """bool, for every token: the added ones stand before the last two."""
    flags = np.zeros(len(contents), bool)
    flags[len(contents) - 2 - len(added) : len(contents) - 2] = [is_set(token) for token in added]
    return flags
