"""Requests joined into batches by TensorFlow's own batch scheduler, without ever changing an answer.

A queue of TensorFlow's BatchFunction takes only inputs that agree on all but the first axis. So requests are grouped by
the shape of their rows (TF Serving protocol, section 15, has all in one queue and fails the batch). A signature with an
attention_mask has one queue for all lengths where a trial at its first use shows that padding behind the mask changes
nothing: its rows travel as bytes and are padded, with zeros, when the batch is formed. A request whose batch fails runs
once more alone, so that nobody pays for the mistake of a neighbour.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.ops.gen_batch_ops import batch_function

from flowformers.errors import Kind, ServingError
from flowformers.serving import metrics
from flowformers.serving.batching_config import BatchingParameters
from flowformers.serving.pace import Pace
from flowformers.serving.padding import Padding, find_padding
from flowformers.serving.runs import Runs
from flowformers.serving.subgraph import as_function
from flowformers.types import Array

MOST_QUEUES = 64  # of one set of inputs and outputs: each is a node in the graph for good
Tensors = Mapping[str, Array]


class Batcher:
    """Stands in front of a session's runs. Safe to use from any thread."""

    def __init__(self, runs: Runs, session: Any, parameters: BatchingParameters) -> None:
        self._runs, self._session, self._parameters = runs, session, parameters
        self._families: dict[tuple[str, ...], Family] = {}
        self._lock = threading.Lock()

    def pace(self, signature_name: str) -> Pace:
        """One that never knows a short run: waiting for a batch is not for the caller's thread."""
        return Pace()

    def run(self, signature_name: str, feeds: Tensors, fetches: Sequence[str], timeout_ms: int) -> list[Array]:
        """As Runs.run. Raises ServingError RESOURCE_EXHAUSTED where the queue is full."""
        rows = _common_rows(feeds)
        if rows is None:
            return self._runs.run(signature_name, feeds, fetches, timeout_ms)
        limit = self._parameters.max_batch_size
        if rows > limit:
            raise ServingError(
                Kind.INVALID_ARGUMENT, f"Task size {rows} is larger than maximum input batch size {limit}"
            )
        queue = self._queue(feeds, fetches)
        if queue is not None:
            found = self._in_batch(queue, feeds, rows, timeout_ms)
            if found is not None:
                return found
        return self._runs.run(signature_name, feeds, fetches, timeout_ms)

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

    def _queue(self, feeds: Tensors, fetches: Sequence[str]) -> Queue | None:
        key = (*feeds, "", *fetches)
        family = self._families.get(key)
        if family is None:
            with self._lock:
                family = self._families.get(key)
                if family is None:
                    family = self._families[key] = self._family(feeds, fetches, f"{len(self._families)}")
        return family.queue(feeds)

    def _family(self, feeds: Tensors, fetches: Sequence[str], name: str) -> Family:
        padding = find_padding(self._runs, feeds, fetches)
        return Family(self._session, self._runs, self._parameters, tuple(feeds), tuple(fetches), padding, name)


def _common_rows(feeds: Tensors) -> int | None:
    """The size of the first axis that all share; None where they do not, or it is empty."""
    sizes = {array.shape[0] if array.ndim else 0 for array in feeds.values()}
    size = sizes.pop() if len(sizes) == 1 else 0
    return size or None


class Family:
    """The queues of one set of inputs and outputs: one for all rows that can be padded, else one for each shape."""

    def __init__(
        self,
        session: Any,
        runs: Runs,
        parameters: BatchingParameters,
        feeds: tuple[str, ...],
        fetches: tuple[str, ...],
        padding: Padding | None,
        name: str,
    ) -> None:
        self._session, self._runs, self._parameters = session, runs, parameters
        self._feeds, self._fetches, self._padding, self._name = feeds, fetches, padding, name
        self._queues: dict[object, Queue] = {}
        self._lock = threading.Lock()

    def queue(self, feeds: Tensors) -> Queue | None:
        """None where there are too many shapes already."""
        padded = self._padding is not None and self._padding.takes(feeds)
        key = "padded" if padded else tuple(feeds[name].shape[1:] for name in self._feeds)
        found = self._queues.get(key)
        if found is None and len(self._queues) < MOST_QUEUES:
            with self._lock:
                found = self._queues.get(key)
                if found is None:
                    found = self._queues[key] = self._make(self._padding if padded else None)
        return found

    def _make(self, padding: Padding | None) -> Queue:
        name = f"{self._name}/{len(self._queues)}"
        graph = self._session.graph
        with graph.as_default(), graph.device(None):
            inner = as_function(graph, self._feeds, self._fetches, padding)
            placeholders = [tf.compat.v1.placeholder(spec.dtype, name="batching/input") for spec in inner.inputs_fed]
            results = batch_function(
                in_tensors=placeholders,
                captured_tensors=inner.captured,
                f=inner.function,
                Tout=inner.dtypes,
                shared_name="batching",
                batching_queue=name,
                **_attributes(self._parameters),
            )
        self._session._extend_graph()
        return Queue(self._runs, self._feeds, [p.name for p in placeholders], [r.name for r in results], padding)


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
