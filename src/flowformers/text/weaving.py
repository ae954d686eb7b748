"""Words of one token and words of several, woven into the tokens of each text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flowformers.types import Tensor


@dataclass(frozen=True)
class Woven:
    """words: int64 [w], each word's token; several: int64 [m], which words have more than one instead; pieces: ragged
    [m, (tokens)], these; first, after: int32 [w], where each word's tokens begin and end among the t of all."""

    words: Tensor
    several: Tensor
    pieces: Any
    first: Tensor
    after: Tensor

    @classmethod
    def of(cls, text: Tensor, words: Tensor, cut: Callable[[Tensor], Any]) -> Woven:
        """text: string [w]; words: int64 [w], 0 where `cut` makes the tokens: string [m] -> ragged [m, (tokens)]."""
        import tensorflow as tf

        several = tf.where(words == 0)[:, 0]
        each, which = tf.unique(tf.gather(text, several))  # cutting costs a hundred times more than finding equals
        pieces = tf.gather(cut(each), which)
        counts = tf.cast(pieces.row_lengths(), tf.int32)
        counts = tf.tensor_scatter_nd_update(tf.ones_like(words, tf.int32), several[:, None], counts)
        after = tf.cumsum(counts)
        return cls(words, several, pieces, after - counts, after)

    def tokens(self) -> Tensor:
        """int64 [t]."""
        import tensorflow as tf

        return self.stitch(self.words, tf.cast(self.pieces.values, tf.int64))

    def of_words(self, x: Tensor) -> Tensor:
        """x: [w]. Returns what each token's word has [t]."""
        import tensorflow as tf

        return self.stitch(x, tf.gather(tf.gather(x, self.several), self.pieces.value_rowids()))

    def stitch(self, whole: Tensor, parts: Tensor) -> Tensor:
        """whole: [w], of words; parts: of pieces. Returns what each token has [t]."""
        import tensorflow as tf

        ends = tf.gather(self.first, self.several), tf.gather(self.after, self.several)
        return tf.dynamic_stitch([self.first, tf.ragged.range(*ends).values], [whole, parts])

    def rows(self, keep: Tensor, ends: Tensor) -> Callable[[Tensor], Any]:
        """keep: bool [t]; ends: int64 [n], words up to each text's end. Returns what makes [t] ragged [n, (tokens)]."""
        import tensorflow as tf

        kept = tf.where(keep)[:, 0]
        until = tf.cumsum(tf.concat([[0], tf.cast(keep, tf.int64)], 0))
        after = tf.concat([[0], self.after], 0)  # the first texts may have no words
        splits = tf.gather(until, tf.gather(after, tf.concat([[0], ends], 0)))
        return lambda x: tf.RaggedTensor.from_row_splits(tf.gather(x, kept), splits, validate=False)
