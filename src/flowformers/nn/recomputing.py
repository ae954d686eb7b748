"""Gradient checkpointing: a block's inner values are computed again for its gradient instead of being kept.

Chen et al. 2016, arXiv:1604.06174.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import count

import tensorflow as tf

from flowformers.types import Tensor

_seeds: ContextVar[Iterator[Tensor] | None] = ContextVar("seeds", default=None)


def dropout(x: Tensor, rate: float, training: bool) -> Tensor:
    """x with a share of `rate` zeroed in training; x itself otherwise."""
    if not training or not rate:
        return x
    seeds = _seeds.get()
    return tf.nn.dropout(x, rate) if seeds is None else tf.nn.experimental.stateless_dropout(x, rate, next(seeds))


def recomputed(body: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """body(*inputs), whose gradient runs the body again; what it drops is the same both times.

    The body may read variables; tensors that need a gradient must be among the inputs.
    """
    seed = tf.random.uniform([2], maxval=tf.int32.max, dtype=tf.int32)

    def seeded(*inputs: Tensor) -> Tensor:
        with _numbered(seed):
            return body(*inputs)

    found = tf.recompute_grad(seeded)(*inputs)
    return tf.reshape(found, tf.shape(found))  # gradients come through dense: recompute_grad takes no IndexedSlices


@contextmanager
def _numbered(seed: Tensor) -> Iterator[None]:
    """Every dropout in here has a seed of its own, by its place."""
    token = _seeds.set(seed + tf.constant([0, number]) for number in count())
    try:
        yield
    finally:
        _seeds.reset(token)
