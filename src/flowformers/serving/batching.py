"""Requests joined into batches by TensorFlow's own batch scheduler, without ever changing an answer.

A queue of TensorFlow's BatchFunction takes only inputs that agree on all but the first axis. So requests are grouped by
the shape of their rows (TF Serving protocol, section 15, has all in one queue and fails the batch). A signature with an
attention_mask has one queue for all lengths where a trial at its first use shows that padding behind the mask changes
nothing: its rows travel as bytes and are padded, with zeros, when the batch is formed. A request whose batch fails runs
once more alone, so that nobody pays for the mistake of a neighbour.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from flowformers.errors import Kind, ServingError
from flowformers.serving import metrics
from flowformers.serving.batching_config import BatchingParameters
from flowformers.serving.pace import NotShort, Pace
from flowformers.serving.padding import Padding, find_padding
from flowformers.serving.runs import Runs
from flowformers.serving.subgraph import as_function
from flowformers.types import Array

MOST_QUEUES = 64  # each is a node in the graph for good
Tensors = Mapping[str, Array]
PADDED = "padded"
Names = tuple[tuple[str, ...], tuple[str, ...]]  # of what is fed and of what is fetched, each in order


class Batcher:
    """Stands in front of a session's runs. Safe to use from any thread."""

    def __init__(self, runs: Runs, session: Any, parameters: BatchingParameters) -> None:
        self._runs, self._session, self._parameters = runs, session, parameters
        self._paddings: dict[Names, Padding | None] = {}
        self._queues: dict[tuple[Names, object], Queue] = {}
        # One for all: they add nodes to one graph, and building a graph is for one thread at a time.
        self._building = threading.Lock()

    def pace(self, signature_name: str) -> Pace:
        """One that never knows a short run: waiting for a batch is not for the caller's thread."""
        return Pace()

    def run(
        self,
        signature_name: str,
        feeds: Tensors,
        fetches: Sequence[str],
        timeout_ms: int,
        cpu_seconds: float = math.inf,
    ) -> list[Array]:
        """As Runs.run. Raises ServingError RESOURCE_EXHAUSTED where the queue is full."""
        if cpu_seconds < math.inf:
            raise NotShort
        rows = _common_rows(feeds)
        if rows is None:
            return self._runs.run(signature_name, feeds, fetches, timeout_ms)
        limit = self._parameters.max_batch_size
        if rows > limit:
            raise ServingError(
                Kind.INVALID_ARGUMENT, f"Task size {rows} is larger than maximum input batch size {limit}"
            )
        # In whatever order a client names them: requests for the same must meet.
        names = tuple(sorted(feeds)), tuple(sorted({*fetches}))
        queue = self._queue(names, feeds)
        found = None if queue is None else self._in_batch(queue, feeds, rows, timeout_ms)
        if found is None:
            return self._runs.run(signature_name, feeds, fetches, timeout_ms)
        return [found[names[1].index(name)] for name in fetches]

    def _in_batch(self, queue: Queue, feeds: Tensors, rows: int, timeout_ms: int) -> list[Array] | None:
        """The answer; None where the batch failed."""
        try:
            return queue.run(feeds, rows, timeout_ms)
        except tf.errors.UnavailableError as error:
            metrics.REFUSED.inc()
            raise ServingError(Kind.RESOURCE_EXHAUSTED, f"the batching queue is full: {error.message}") from error
        except tf.errors.DeadlineExceededError:
            raise
        except (tf.errors.OpError, TypeError, ValueError):
            metrics.FAILED_BATCHES.inc()
            return None

    def _queue(self, names: Names, feeds: Tensors) -> Queue | None:
        """None where there are too many already, or while one is built: nobody waits for another's first request."""
        found = self._queues.get((names, self._rows(names, feeds))) if names in self._paddings else None
        if found is not None or len(self._queues) >= MOST_QUEUES or not self._building.acquire(blocking=False):
            return found
        try:
            return self._built(names, feeds)
        finally:
            self._building.release()

    def _rows(self, names: Names, feeds: Tensors) -> object:
        """What rows have in common that can be in one queue."""
        padding = self._paddings[names]
        return PADDED if padding and padding.takes(feeds) else tuple(feeds[name].shape[1:] for name in names[0])

    def _built(self, names: Names, feeds: Tensors) -> Queue:
        if names not in self._paddings:
            self._paddings[names] = find_padding(self._runs, {name: feeds[name] for name in names[0]}, names[1])
        rows = self._rows(names, feeds)
        if (names, rows) not in self._queues:
            padding = self._paddings[names] if rows == PADDED else None
            self._queues[names, rows] = self._make(names, padding)
        return self._queues[names, rows]

    def _make(self, names: Names, padding: Padding | None) -> Queue:
        graph = self._session.graph
        with graph.as_default(), graph.device(None):
            inner = as_function(graph, *names, padding)
            placeholders = [tf.compat.v1.placeholder(spec.dtype, name="batching/input") for spec in inner.inputs_fed]
            results = tf.raw_ops.BatchFunction(
                in_tensors=placeholders,
                captured_tensors=inner.captured,
                f=inner.function,
                Tout=inner.dtypes,
                shared_name="batching",
                batching_queue=f"{len(self._queues)}",
                **_attributes(self._parameters),
            )
        self._session._extend_graph()  # private: runs.py goes past Session.run, which would do it
        return Queue(self._runs, names[0], [p.name for p in placeholders], [r.name for r in results], padding)


def _common_rows(feeds: Tensors) -> int | None:
    """The size of the first axis that all share; None where they do not, or it is empty."""
    sizes = {array.shape[0] if array.ndim else 0 for array in feeds.values()}
    size = sizes.pop() if len(sizes) == 1 else 0
    return size or None


def _attributes(parameters: BatchingParameters) -> dict[str, Any]:
    sizes = list(parameters.allowed_batch_sizes)
    if not sizes and parameters.largest_batch < parameters.max_batch_size:
        sizes = list(range(1, parameters.largest_batch + 1))  # the last is where TensorFlow splits
    return {
        "num_batch_threads": parameters.num_batch_threads,
        "max_batch_size": parameters.max_batch_size,
        "batch_timeout_micros": parameters.batch_timeout_micros,
        "max_enqueued_batches": parameters.max_enqueued_batches,
        "allowed_batch_sizes": sizes,
        "enable_large_batch_splitting": parameters.enable_large_batch_splitting,
    }


class Queue:
    """One queue of the scheduler: a node in the session's graph."""

    def __init__(
        self, runs: Runs, feeds: Sequence[str], inputs: Sequence[str], outputs: Sequence[str], padding: Padding | None
    ) -> None:
        self._runs, self._feeds, self._inputs, self._outputs = runs, feeds, inputs, outputs
        self._padding = padding

    def run(self, feeds: Tensors, rows: int, timeout_ms: int) -> list[Array]:
        """The outputs for these rows. Raises tf.errors.OpError of whatever went wrong in the batch."""
        arrays = [feeds[name] for name in self._feeds]
        sent = arrays if self._padding is None else [as_bytes(array) for array in arrays]
        *outputs, batch = self._runs.call(dict(zip(self._inputs, sent, strict=True)), self._outputs, timeout_ms)
        metrics.batched(rows, int(batch[0]))
        if self._padding is None:
            return outputs
        return self._padding.cut(outputs, arrays[0].shape[1])


def as_bytes(array: Array) -> Array:
    """Each row's bytes, as strings [rows]."""
    found = np.empty(len(array), object)
    found[:] = [row.tobytes() for row in array]
    return found
