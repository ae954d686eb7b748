"""Execution without padding: the real tokens of a batch as one [T, H] matrix.

The dense layers of an encoder see no sequence, so they run on real tokens only; [B, S] comes back around the two small
attention products, once for the long sequences of a batch and once for the short ones where their lengths differ.
Exact: a token's result does not depend on rows that were left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import tensorflow as tf

from flowformers.types import Tensor

WORTH = 0.75  # of the squares of all lengths: attention in two parts has some ops more


@dataclass(frozen=True)
class Layout:
    """Where the kept tokens of some sequences stand.

    batch, length: B and S, numbers where they are known and int32 scalars where not. slots: int32 [T, 1], for each kept
    token its position in the flattened [B * S]; None when every position is kept, in order.
    """

    batch: Tensor | int
    length: Tensor | int
    slots: Tensor | None

    def pack(self, x: Tensor, *axes: int) -> Tensor:
        """x: [B, S, ...] with static axes behind S. Returns the kept positions, [T, ...], or [T, *axes] if given."""
        flat = tf.reshape(x, [self.batch * self.length, *(axes or x.shape[2:])])
        # gather_nd, not gather: its gradient is one dense scatter instead of IndexedSlices.
        return flat if self.slots is None else tf.gather_nd(flat, self.slots)

    def unpack(self, x: Tensor, *axes: int) -> Tensor:
        """x: [T, W] with a static width W. Returns [B, S, W], or [B, S, *axes], with zeros where nothing was kept."""
        width = x.shape[-1]
        if self.slots is not None:
            x = tf.scatter_nd(self.slots, x, [self.batch * self.length, width])
        return tf.reshape(x, [self.batch, self.length, *(axes or [width])])

    def unpack_vector(self, x: Tensor) -> Tensor:
        """x: [T]. Returns [B, S], zeros where nothing was kept."""
        return tf.squeeze(self.unpack(x[:, None]), -1)

    def kept(self, like: Tensor) -> Tensor:
        """Returns [B, S] of like's dtype: one where a position was kept, zero elsewhere."""
        rows = tf.shape(like)[0]
        return self.unpack_vector(tf.ones([rows], like.dtype))


@dataclass(frozen=True)
class Bucket:
    """Sequences of like length, which attention runs together.

    layout: where their tokens stand among themselves. sequences: int32 [b], which of the batch they are; None for all.
    exists: bool scalar in a graph that may have none of them; None where there are some for certain.
    """

    layout: Layout
    sequences: Tensor | None = None
    exists: Tensor | None = None

    def run(self, attend: Callable[[], tuple[Tensor, Tensor]], like: Tensor) -> tuple[Tensor, Tensor | None]:
        """attend() for these sequences: what it gives for their tokens, [t, W] as `like`, and their weights.

        Where there may be none of them, [0, W] then and no weights.
        """
        if self.exists is None:
            return attend()
        return tf.cond(self.exists, lambda: attend()[0], lambda: like[:0]), None

    def of(self, mask: Tensor) -> Tensor:
        """mask: [B, S], of the batch, or where these are all of it of any shape. Returns theirs, [b, s]."""
        return mask if self.sequences is None else tf.gather(mask[:, : self.layout.length], self.sequences)


@dataclass(frozen=True)
class Packed:
    """The T kept tokens of a batch.

    layout: where they stand. first: int32 [B], the row of each sequence's position 0 among the T rows. buckets: the
    same tokens in turn; sizes: int32 [buckets], how many each has, None for one bucket of all.
    """

    layout: Layout
    first: Tensor
    buckets: Sequence[Bucket]
    sizes: Tensor | None = None

    def split(self, x: Tensor) -> Sequence[Tensor]:
        """x: [T, ...]. Returns the part of each bucket."""
        return [x] if self.sizes is None else tf.split(x, self.sizes)

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        """The reverse of split."""
        return parts[0] if self.sizes is None else tf.concat(parts, 0)


def everything(batch: Tensor | int, length: Tensor | int) -> Packed:
    """Every position kept: the dense path."""
    layout = Layout(batch, length, None)
    return Packed(layout, tf.range(batch) * length, [Bucket(layout)])


def real_tokens(mask: Tensor, batch: Tensor | int, length: Tensor | int, *, by_length: bool = True) -> Packed:
    """The tokens that a 0/1 mask [B, S] shows; by_length: those of long sequences before those of short ones.

    Position 0 of every row is kept even where the mask hides it (padding on the left): poolers and classifiers read it,
    and it costs one row. As a key of attention it stays hidden.
    """
    eager = tf.executing_eagerly()
    if eager and bool(tf.reduce_all(tf.not_equal(mask, 0))):
        return everything(batch, length)
    column = tf.range(length)[None, :]
    keep = tf.logical_or(tf.not_equal(mask, 0), tf.equal(column, 0))
    if not by_length or (isinstance(batch, int) and batch == 1):
        return _in_one(keep, batch, length)
    extents = tf.reduce_max(tf.where(keep, column + 1, 0), axis=1)
    order = tf.argsort(extents, direction="DESCENDING")
    extents = tf.gather(extents, order)
    long = _longest(extents)
    if eager and int(long) == batch:
        return _in_one(keep, batch, length)
    return _in_two(tf.gather(keep, order), order, extents, long)


def _in_one(keep: Tensor, batch: Tensor | int, length: Tensor | int) -> Packed:
    """keep: bool [B, S]. The tokens in the order of the batch."""
    slots = tf.where(tf.reshape(keep, [-1]))
    layout = Layout(batch, length, tf.cast(slots, tf.int32))
    return Packed(layout, tf.cumsum(_counts(keep), exclusive=True), [Bucket(layout)])


def _counts(keep: Tensor) -> Tensor:
    return tf.reduce_sum(tf.cast(keep, tf.int32), axis=1)


def _longest(extents: Tensor) -> Tensor:
    """extents: int32 [B], descending. Returns how many to run apart from the others, int32 scalar; B where all
    together are about as cheap. The cost of attention is taken as sequences times the square of the longest."""
    batch = tf.size(extents)
    padded = tf.cast(tf.concat([extents, [0, 0]], 0), tf.float32)  # an empty batch, too, has a first and a next
    count = tf.range(1, tf.maximum(batch, 1) + 1)
    here, others = tf.cast(count, tf.float32), tf.cast(batch - count, tf.float32)
    cost = here * padded[0] ** 2 + others * tf.gather(padded, count) ** 2
    best = tf.argmin(cost, output_type=tf.int32)
    return tf.where(tf.gather(cost, best) < WORTH * cost[-1], best + 1, batch)


def _in_two(keep: Tensor, order: Tensor, extents: Tensor, long: Tensor) -> Packed:
    """keep: bool [B, S], order, extents: int32 [B], by descending extent. long: how many are in the first bucket."""
    batch, length, eager = tf.size(order), tf.shape(keep)[1], tf.executing_eagerly()
    counts = _counts(keep)
    place = tf.cast(tf.where(keep), tf.int32)  # [T, 2]: row of `keep`, position
    sizes = [tf.reduce_sum(counts[:long]), tf.reduce_sum(counts[long:])]
    before, behind = tf.split(place, sizes)
    longest = tf.concat([extents, [0]], 0)  # of each sequence and those behind it
    first = tf.gather(tf.cumsum(counts, exclusive=True), tf.math.invert_permutation(order))
    slots = tf.gather(order, place[:, :1]) * length + place[:, 1:]
    return Packed(
        Layout(batch, length, slots),
        first,
        [
            _bucket(order[:long], longest[0], before),
            _bucket(order[long:], longest[long], behind - [[long, 0]], exists=None if eager else long < batch),
        ],
        tf.stack(sizes),
    )


def _bucket(sequences: Tensor, length: Tensor, place: Tensor, exists: Tensor | None = None) -> Bucket:
    """place: int32 [t, 2]: which of the sequences, position."""
    slots = place[:, :1] * length + place[:, 1:]
    return Bucket(Layout(tf.size(sequences), length, slots), sequences, exists)
