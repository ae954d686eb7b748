"""The part of a session's graph between inputs and outputs, as a function that BatchFunction can run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from flowformers.serving.padding import Padding


@dataclass(frozen=True)
class Inner:
    """inputs_fed: specs of the placeholders; captured: graph tensors (variables, tables); dtypes: of the outputs."""

    function: Any
    inputs_fed: Sequence[Any]
    captured: Sequence[Any]
    dtypes: Sequence[Any]


def as_function(graph: Any, feeds: Sequence[str], fetches: Sequence[str], padding: Padding | None) -> Inner:
    """A function of the feeds that gives the fetches and, last, int32 [rows]: the size of the batch.

    With padding, a feed is strings [rows]: the bytes of each row, padded with zeros to the longest.
    """
    dtypes = [graph.get_tensor_by_name(name).dtype for name in feeds]
    specs = [tf.TensorSpec([None] if padding else None, tf.string if padding else dtype) for dtype in dtypes]
    definition = graph.as_graph_def()

    def joined(*given: Any) -> list[Any]:
        arrays = _decoded(given, dtypes) if padding else list(given)
        outputs = _copied(graph, definition, dict(zip(feeds, arrays, strict=True)), fetches)
        rows = tf.shape(arrays[0])[0]
        return [*outputs, tf.fill([rows], rows)]

    traced = tf.function(joined, input_signature=specs, autograph=False).get_concrete_function()
    traced.add_to_graph(graph)
    return Inner(traced, specs, traced.captured_inputs, [output.dtype for output in traced.outputs])


def _decoded(given: Sequence[Any], dtypes: Sequence[Any]) -> list[Any]:
    """[rows, longest] of each."""
    columns = tf.reduce_max(tf.strings.length(given[0])) // dtypes[0].size
    return [
        tf.io.decode_raw(strings, dtype, fixed_length=columns * dtype.size)
        for strings, dtype in zip(given, dtypes, strict=True)
    ]


def _copied(graph: Any, definition: Any, feeds: dict[str, Any], fetches: Sequence[str]) -> list[Any]:
    """The nodes on the way from the feeds to the fetches, copied into the function that is being traced.

    What has a state and no inputs (variables, tables) stays outside and is captured.
    """
    needed = _needed(graph, set(feeds), fetches)
    outside = {name for name in needed if _is_source(graph.get_operation_by_name(name))}
    part = tf.compat.v1.GraphDef(versions=definition.versions, library=definition.library)
    part.node.extend(node for node in definition.node if node.name in needed - outside)
    inside = tf.compat.v1.get_default_graph()
    taken = {
        output.name: inside.capture(output) for name in outside for output in graph.get_operation_by_name(name).outputs
    }
    found: list[Any] = tf.graph_util.import_graph_def(
        part, input_map=taken | feeds, return_elements=list(fetches), name=""
    )
    return [tf.identity(output) for output in found]


def _needed(graph: Any, feeds: set[str], fetches: Sequence[str]) -> set[str]:
    """Names of the operations that the fetches depend on, up to the feeds."""
    found: set[str] = set()
    waiting = [graph.get_tensor_by_name(name).op for name in fetches]
    while waiting:
        operation = waiting.pop()
        if operation.name not in found:
            found.add(operation.name)
            waiting += [tensor.op for tensor in operation.inputs if tensor.name not in feeds]
            waiting += operation.control_inputs
    return found


def _is_source(operation: Any) -> bool:
    return bool(operation.op_def.is_stateful and not operation.inputs)
