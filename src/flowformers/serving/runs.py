"""Running a session's graph, feeds and fetches by tensor name: with a time limit, or in the caller's thread.

This is what Session.run does at its end, by what TensorFlow calls private: _call_tf_sessionrun, _as_tf_output and
TF_NewBufferFromString. Nothing public does it. Session.run compares shapes with the graph's placeholders, which
TensorFlow Serving does not (TF Serving protocol, section 18), and Session.make_callable with feeds is Session.run. The
session's own callables take their RunOptions when they are made, and here each request has its time limit. A test names
what is missing should a release of TensorFlow change them.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any

from flowformers.serving.pace import NotShort, Pace
from flowformers.serving.rows import nodes_of, size_of
from flowformers.types import Array

IN_CALLER = -1  # RunOptions.inter_op_thread_pool; TensorFlow keeps no time limit there


class Runs:
    """A session and how long the runs of each signature take.

    bounded: signatures that may run in the caller's thread. batch_size: rows that the graph itself joins from
    concurrent runs; 0 where it does not.
    """

    def __init__(self, session: Any, graph_def: Any, bounded: Collection[str]) -> None:
        self._session, self._bounded = session, bounded
        self._tensors = _Tensors(session)
        self._paces: dict[str, Pace] = {}
        batches = (_batch_size(node) for node in nodes_of(graph_def) if node.op == "BatchFunction")
        self.batch_size = max(batches, default=0)

    def pace(self, signature_name: str) -> Pace:
        """How long the runs of a signature take."""
        return self._paces.get(signature_name) or self._paces.setdefault(signature_name, Pace())

    def run(
        self,
        signature_name: str,
        feeds: Mapping[str, Array],
        fetches: Sequence[str],
        timeout_ms: int,
        cpu_seconds: float = math.inf,
    ) -> list[Array]:
        """One array for each fetch. timeout_ms: 0 is none. Shapes are not compared with the graph's placeholders, as
        Session.run would. Raises NotShort where a run is not sure to take no more of the processor; tf.errors.OpError,
        TypeError, ValueError.
        """
        size, pace = size_of(feeds.values()) if signature_name in self._bounded else None, self.pace(signature_name)
        if cpu_seconds < math.inf and not pace.short(size, cpu_seconds):
            raise NotShort
        if size is None:
            return self.call(feeds, fetches, timeout_ms)
        measured = pace.worth_measuring(size)
        begun = pace.begin()
        if measured:
            found = self._call(feeds, fetches, 0, IN_CALLER)
            pace.measured(size, begun)
        else:
            found = self.call(feeds, fetches, timeout_ms)
            pace.tried(size, begun)
        return found

    def call(self, feeds: Mapping[str, Array], fetches: Sequence[str], timeout_ms: int) -> list[Array]:
        """As run, always in TensorFlow's pool."""
        return self._call(feeds, fetches, timeout_ms, 0)

    def _call(self, feeds: Mapping[str, Array], fetches: Sequence[str], timeout_ms: int, pool: int) -> list[Array]:
        tensors = self._tensors
        feed_dict = {tensors[name]: array for name, array in feeds.items()}
        wanted = [tensors[name] for name in fetches]
        options = _options(_rounded(timeout_ms), pool)
        found: list[Array] = self._session._call_tf_sessionrun(options, feed_dict, wanted, [], None)
        return found

    def close(self) -> None:
        """Forget the graph's tensors."""
        self._tensors.clear()


class _Tensors(dict[str, Any]):
    """A graph's tensors by name, in TensorFlow's own form."""

    def __init__(self, session: Any) -> None:
        super().__init__()
        self._session = session

    def __missing__(self, name: str) -> Any:
        self[name] = self._session.graph.get_tensor_by_name(name)._as_tf_output()
        return self[name]


def _batch_size(node: Any) -> int:
    allowed = node.attr["allowed_batch_sizes"].list.i  # the last is the limit, where large requests are split
    return int(allowed[-1] if allowed else node.attr["max_batch_size"].i)


def _rounded(milliseconds: int) -> int:
    """Up to three significant bits: options are kept for good, so there must be few of them."""
    step = 1 << max(0, milliseconds.bit_length() - 3)
    return -(-milliseconds // step) * step


@cache
def _options(timeout_ms: int, pool: int) -> Any:
    from tensorflow.core.protobuf import config_pb2
    from tensorflow.python.client import pywrap_tf_session

    options = config_pb2.RunOptions(timeout_in_ms=timeout_ms, inter_op_thread_pool=pool)
    return pywrap_tf_session.TF_NewBufferFromString(options.SerializeToString())
