"""Execution without padding: the real tokens of a batch as one [T, H] matrix.

The dense layers of an encoder see no sequence, so they run on real tokens only; [B, S] comes back around the two
small attention products. Exact: a token's result does not depend on rows that were left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf

from flowformers.types import Tensor


@dataclass(frozen=True)
class Layout:
    """Where the kept tokens of a batch stand.

    batch, length: B and S, numbers where they are known and int32 scalars where not. slots: int32 [T, 1], the kept
    positions of the flattened [B * S], ascending; None when every position is kept. first: int32 [B], the row of each
    sequence's position 0 among the T rows.
    """

    batch: Tensor | int
    length: Tensor | int
    slots: Tensor | None
    first: Tensor

    def pack(self, x: Tensor) -> Tensor:
        """x: [B, S, ...] with static axes behind S. Returns its kept positions, [T, ...]."""
        flat = tf.reshape(x, [self.batch * self.length, *x.shape[2:]])
        # gather_nd, not gather: its gradient is one dense scatter instead of IndexedSlices.
        return flat if self.slots is None else tf.gather_nd(flat, self.slots)

    def unpack(self, x: Tensor) -> Tensor:
        """x: [T, W] with a static width W. Returns [B, S, W], zeros where nothing was kept."""
        width = x.shape[-1]
        if self.slots is not None:
            x = tf.scatter_nd(self.slots, x, [self.batch * self.length, width])
        return tf.reshape(x, [self.batch, self.length, width])

    def unpack_vector(self, x: Tensor) -> Tensor:
        """x: [T]. Returns [B, S], zeros where nothing was kept."""
        return tf.squeeze(self.unpack(x[:, None]), -1)

    def kept(self, like: Tensor) -> Tensor:
        """Returns [B, S] of like's dtype: one where a position was kept, zero elsewhere."""
        rows = tf.shape(like)[0]
        return self.unpack_vector(tf.ones([rows], like.dtype))


def everything(batch: Tensor | int, length: Tensor | int) -> Layout:
    """The layout that keeps every position: the dense path."""
    return Layout(batch, length, None, tf.range(batch) * length)


def real_tokens(mask: Tensor, batch: Tensor | int, length: Tensor | int) -> Layout:
    """The layout of a 0/1 mask [B, S].

    Position 0 of every row is kept even where the mask hides it (padding on the left): poolers and classifiers read it,
    and it costs one row. As a key of attention it stays hidden.
    """
    if tf.executing_eagerly() and bool(tf.reduce_all(tf.not_equal(mask, 0))):
        return everything(batch, length)
    keep = tf.logical_or(tf.not_equal(mask, 0), tf.equal(tf.range(length), 0)[None, :])
    slots = tf.where(tf.reshape(keep, [-1]))
    counts = tf.reduce_sum(tf.cast(keep, tf.int32), axis=1)
    return Layout(batch, length, tf.cast(slots, tf.int32), tf.cumsum(counts, exclusive=True))
