"""Unigram's best way through each word, as `tokenizers` finds it: scores added in 64 bits, of equal ones the first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from flowformers.prepared import held
from flowformers.text.lookup import lookup, table_of
from flowformers.types import Tensor

PENALTY = 10.0  # by which an unknown character is worse than the worst piece


class Viterbi:
    """words: string [m] -> pieces, numbered from 1; 0 stands for characters that no piece holds, and for the piece
    `unknown`, which normalisation may spell.

    Within, C characters of all words stand in one row, and K is the longest piece: what ends at a character is one of
    K candidates, the longest first.
    """

    def __init__(self, pieces: Sequence[str], scores: Sequence[float], unknown: int) -> None:
        self._table, self._unknown = table_of(pieces), unknown
        self._scores = np.array([min(scores) - PENALTY, *scores], np.float64)
        self._longest = max(map(len, pieces))

    def __call__(self, words: Tensor) -> Any:
        """words: string [m]. Returns a RaggedTensor of int64 [m, (pieces)]."""
        import tensorflow as tf

        letters = tf.strings.unicode_decode(words, "UTF-8")
        piece, score = self._candidates(letters)
        size = self._longest - self._choices(score, letters)  # int64 [C]: of the best piece that ends at a character
        last = tf.where(_on_path(size, letters))[:, 0]
        found = tf.gather(tf.reshape(piece, [-1]), (last + 1) * self._longest - tf.gather(size, last))
        found = tf.where(found == self._unknown, tf.zeros_like(found), found)
        owner = tf.gather(letters.value_rowids(), last)
        same = (owner == tf.concat([[-1], owner], 0)[:-1]) & (found == tf.concat([[-1], found], 0)[:-1])
        kept = tf.where(~(same & (found == 0)))[:, 0]  # unknown characters side by side are one token
        return tf.RaggedTensor.from_value_rowids(
            tf.gather(found, kept), tf.gather(owner, kept), tf.size(words, tf.int64), validate=False
        )

    def _candidates(self, letters: Any) -> tuple[Tensor, Tensor]:
        """letters: ragged code points [m, (n)]. Returns pieces, int64, and their scores, float64, [C, K]."""
        import tensorflow as tf

        place = tf.range(tf.size(letters.values, tf.int64))
        column = place - tf.gather(letters.row_starts(), letters.value_rowids())
        start = tf.ragged.range(place - tf.minimum(column, self._longest - 1), place + 1)
        end = start.value_rowids() + 1
        spelled = tf.ragged.range(start.values, end)
        text = tf.strings.unicode_encode(spelled.with_values(tf.gather(letters.values, spelled.values)), "UTF-8")
        piece = lookup(self._table, text)
        score = tf.gather(held(self._scores), piece)
        none = (piece == 0) & (end - start.values > 1)
        score = tf.where(none, tf.constant(-np.inf, tf.float64), score)
        where = (end * self._longest - (end - start.values))[:, None]
        shape = tf.size(place, tf.int64)[None] * self._longest
        grid = [-1, self._longest]
        nothing = tf.fill(shape, tf.constant(-np.inf, tf.float64))
        return (
            tf.reshape(tf.scatter_nd(where, piece, shape), grid),
            tf.reshape(tf.tensor_scatter_nd_update(nothing, where, score), grid),
        )

    def _choices(self, score: Tensor, letters: Any) -> Tensor:
        """score: float64 [C, K]. Returns int64 [C], which candidate is the best end of the way to a character."""
        import tensorflow as tf

        start, length = letters.row_starts(), letters.row_lengths()
        steps = tf.reduce_max(tf.concat([length, [1]], 0))
        nothing = tf.fill([tf.size(start), self._longest - 1], tf.constant(-np.inf, tf.float64))
        window = tf.concat([nothing, tf.zeros([tf.size(start), 1], tf.float64)], 1)  # the best ways so far, [m, K]
        taken = tf.TensorArray(tf.int64, tf.cast(steps, tf.int32), element_shape=[None])

        def step(number: Tensor, window: Tensor, taken: Any) -> tuple[Tensor, Tensor, Any]:
            way = window + tf.gather(score, start + tf.minimum(number, length - 1))
            window = tf.concat([window[:, 1:], tf.reduce_max(way, 1, keepdims=True)], 1)
            return number + 1, window, taken.write(tf.cast(number, tf.int32), tf.argmax(way, 1))

        going = lambda number, *_: number < steps  # noqa: E731
        shapes = tf.TensorShape([]), tf.TensorShape([None, self._longest]), tf.TensorShape(None)
        _, _, taken = tf.while_loop(going, step, (tf.constant(0, tf.int64), window, taken), shape_invariants=shapes)
        owner = letters.value_rowids()
        column = tf.range(tf.size(owner, tf.int64)) - tf.gather(start, owner)
        return tf.gather_nd(taken.stack(), tf.stack([column, owner], 1))


def _on_path(size: Tensor, letters: Any) -> Tensor:
    """size: int64 [C]. Returns bool [C]: a piece of the best way ends here. Walks all words backwards at once."""
    import tensorflow as tf

    start = letters.row_starts()
    last = letters.row_limits() - 1

    def step(place: Tensor, path: Tensor) -> tuple[Tensor, Tensor]:
        on = tf.gather(place, tf.where(place >= start)[:, 0])
        path = tf.tensor_scatter_nd_update(path, on[:, None], tf.ones_like(on, tf.bool))
        before = place - tf.gather(size, tf.maximum(place, 0))
        return tf.where(place >= start, before, place), path

    going = lambda place, _: tf.reduce_any(place >= start)  # noqa: E731
    shapes = tf.TensorShape([None]), tf.TensorShape([None])
    return tf.while_loop(going, step, (last, tf.zeros_like(size, tf.bool)), shape_invariants=shapes)[1]
