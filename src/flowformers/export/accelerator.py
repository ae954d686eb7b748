"""Graphs for GPUs: XLA, with lengths and batch sizes from a short list so that few programs are compiled."""

from __future__ import annotations

from functools import partial
from typing import Any

import tensorflow as tf

from flowformers.export.shapes import is_per_token, with_mask
from flowformers.models.bodies import Body, Tensors
from flowformers.models.execution import within
from flowformers.types import Tensor

WHAT = "an export for GPUs"
SMALLEST_LENGTH = 16


def compiled(body: Body, limit: int) -> Body:
    """A body compiled by XLA for the next power of two of length (at most `limit`) and batch size.

    What is added is masked, and cut off again: answers are those of the request. XLA can't gather a number of tokens
    that it doesn't know, so padding within these sizes is computed.
    """

    def run(tensors: Tensors) -> dict[str, Any]:
        masked = with_mask(tensors, WHAT)
        rows, length = tf.unstack(tf.shape(masked["input_ids"]))
        length = within(length, limit)
        width = tf.minimum(_next(length, SMALLEST_LENGTH), limit)
        pads = [[0, _next(rows, 1) - rows], [0, width - length]]
        answers = tf.function(partial(body, dense=True), autograph=False, jit_compile=True)(
            {name: tf.pad(value, pads) for name, value in masked.items()}
        )
        return {
            name: value[:rows, :length] if is_per_token(value, WHAT) else value[:rows]
            for name, value in answers.items()
        }

    return run


def _next(size: Tensor, smallest: int) -> Tensor:
    """The next power of two, int32."""
    powers = tf.constant([smallest << i for i in range(20)])
    return powers[tf.searchsorted(powers, [size])[0]]
