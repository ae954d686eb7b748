"""In-graph batching: TensorFlow's own batch scheduler inside the signature, no server flag needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from flowformers.export.shapes import is_per_token, with_mask
from flowformers.models.bodies import Body, Tensors
from flowformers.models.execution import within
from flowformers.types import Tensor

WHAT = "in-graph batching"
LARGEST_REQUEST = 2**20


@dataclass(frozen=True)
class Batching:
    """Under the names of TensorFlow Serving's batching parameters; rows of a request count, not requests."""

    max_batch_size: int = 32
    batch_timeout_micros: int = 1000
    num_batch_threads: int = 2
    max_enqueued_batches: int = 1000

    def __call__(self, body: Body, limit: int) -> Body:
        """A body that runs together with concurrent calls of the same signature, whatever their lengths.

        Every row travels with the number of positions its own request had, so that what was added to make rows equally
        wide is cut off again before the model runs and never counts.
        """

        def run(tensors: Tensors) -> dict[str, Any]:
            masked = with_mask(tensors, WHAT)
            rows, length = tf.unstack(tf.shape(masked["input_ids"]))
            length = within(length, limit)
            wide = [_widened(value, length, limit) for value in masked.values()]
            outputs: list[tuple[str, bool]] = []

            @tf.nondifferentiable_batch_function(  # type: ignore[untyped-decorator]
                self.num_batch_threads,
                # With splitting, the first limit is that of a request and the last allowed size that of a batch.
                max_batch_size=LARGEST_REQUEST,
                batch_timeout_micros=self.batch_timeout_micros,
                allowed_batch_sizes=list(range(1, self.max_batch_size + 1)),
                max_enqueued_batches=self.max_enqueued_batches,
                autograph=False,
            )
            def together(own: Tensor, *values: Tensor) -> list[Tensor]:
                longest = tf.reduce_max(own)
                answers = body({name: value[:, :longest] for name, value in zip(masked, values, strict=True)})
                outputs[:] = [(name, is_per_token(value, WHAT)) for name, value in answers.items()]
                # A large request is cut in pieces that meet others: their answers must be equally wide again.
                return [
                    _widened(answers[name], longest, limit) if per_token else answers[name]
                    for name, per_token in outputs
                ]

            given = together(tf.fill([rows], length), *wide)
            return {
                name: value[:, :length] if per_token else value
                for (name, per_token), value in zip(outputs, given, strict=True)
            }

        return run


def _widened(x: Tensor, length: Tensor, limit: int) -> Tensor:
    """x: [B, length, ...]. Returns [B, limit, ...], zeros added."""
    pads = [[0, 0], [0, limit - length], *[[0, 0]] * (x.shape.rank - 2)]
    return tf.ensure_shape(tf.pad(x, pads), [None, limit, *x.shape[2:]])
