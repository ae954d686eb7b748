"""Entities found twice where windows of a long text overlap: the longer one stays, then the surer one."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from flowformers.types import Tensor


def without_overlaps(found: Mapping[str, Tensor], several: Tensor) -> dict[str, Tensor]:
    """found: outputs [B, E] and count [B] (entities.bodies); several: bool [B], whether a text has several windows.

    As the pipeline's aggregate_overlapping_entities: by start, each entity is held against the one kept before it.
    """
    count = found["count"]
    valid = tf.sequence_mask(count, tf.shape(found["start"])[1])
    key = tf.where(several[:, None], found["start"], 0)
    order = tf.argsort(tf.where(valid, key, tf.int32.max), stable=True)
    ordered = {name: tf.gather(value, order, batch_dims=1) for name, value in found.items() if name != "count"}
    kept = valid & (_survivors(ordered, valid) | ~several[:, None])
    thinned = {name: tf.ragged.boolean_mask(value, kept).to_tensor() for name, value in ordered.items()}
    return thinned | {"count": tf.reduce_sum(tf.cast(kept, tf.int32), axis=1)}


def _survivors(ordered: Mapping[str, Tensor], valid: Tensor) -> Tensor:
    """bool [B, E]."""
    start, end, score = (ordered[name] for name in ("start", "end", "score"))
    columns = tf.shape(start)[1]

    def step(column: Tensor, holder: Tensor, kept: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        def held(values: Tensor) -> Tensor:
            return tf.gather(values, holder, batch_dims=1)

        here_start, here_end = start[:, column], end[:, column]
        overlaps = (held(start) <= here_start) & (here_start < held(end))
        longer, length = here_end - here_start, held(end) - held(start)
        better = (longer > length) | ((longer == length) & (score[:, column] > held(score)))
        leaves = valid[:, column] & ~overlaps  # what was held until now is done
        kept |= tf.one_hot(holder, columns, True, False, dtype=tf.bool) & leaves[:, None]
        moves = valid[:, column] & (~overlaps | better)
        return column + 1, tf.where(moves, column, holder), kept

    first = tf.zeros([tf.shape(start)[0]], tf.int32)
    shapes = (tf.TensorShape([]), tf.TensorShape([None]), tf.TensorShape([None, None]))
    _, holder, kept = tf.while_loop(
        lambda column, *_: column < columns, step, (tf.constant(0), first, tf.zeros_like(valid)), shapes
    )
    return kept | tf.one_hot(holder, columns, True, False, dtype=tf.bool)
