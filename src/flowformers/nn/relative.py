"""MPNet's relative position bias (Song et al. 2020, arXiv:2004.09297; T5's buckets, reference modeling_mpnet.py)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from flowformers.nn.parts import Table, normal
from flowformers.types import Array, Tensor


@dataclass(frozen=True)
class RelativeBuckets:
    """A bias for each head by the bucket of key index minus query index; one table for all layers.

    buckets: both directions together; half of each direction's buckets are exact, the rest grow logarithmically up to
    max_distance and everything beyond shares the last one.
    """

    buckets: int = 32
    max_distance: int = 128

    def table(self, heads: int, initializer_range: float) -> Table:
        """The learned table [buckets, heads]."""
        return Table(self.buckets, heads, initializer=normal(initializer_range))

    def bucket_of_distance(self) -> Array:
        """int32 [max_distance + 1]: the bucket within a direction for every distance, the last one for all beyond.

        An integer table: a library's log may put 16, 32 and 64, which lie on boundaries, one bucket off.
        """
        half = self.buckets // 2
        exact = half // 2
        distance = np.arange(self.max_distance + 1, dtype=np.float64)
        with np.errstate(divide="ignore"):
            grown = np.log(distance / exact) / np.log(self.max_distance / exact) * (half - exact)
        # The nudge settles the exact boundaries, which float64 may miss by one unit in the last place.
        logarithmic = np.minimum(exact + np.floor(np.maximum(grown, 0) + 1e-9), half - 1)
        return np.where(distance < exact, distance, logarithmic).astype(np.int32)

    def bias(self, table: Table, length: Tensor | int) -> Tensor:
        """Returns float32 [1, N, S, S]."""
        positions = tf.range(length)
        relative = positions[None, :] - positions[:, None]  # key minus query
        near = tf.gather(tf.constant(self.bucket_of_distance()), tf.minimum(tf.abs(relative), self.max_distance))
        buckets = near + tf.where(relative > 0, self.buckets // 2, 0)
        return tf.transpose(tf.cast(table.look_up(buckets), tf.float32), [2, 0, 1])[None]
