"""Signatures whose requests are rows of tokens or of texts, as an encoder's are, and how much work such rows are.

What an encoder does grows with its tokens, in attention with the square of a row's length, and with nothing else. Of
other graphs nobody can say: an input of one number may be the size of a matrix.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from flowformers.types import Array

MASK = "attention_mask"
ROW = 4  # tokens of an example
# Ops that may go on for as long as their inputs say, or wait for another thread.
UNBOUNDED = re.compile(r"While|^For$|Enter$|Loop|BatchFunction|PyFunc|Queue|Iterator|Dataset|Defun|Collective|Recv")
# Ops that make a number, as large as it likes, of a short text; of bytes they are harmless.
READS_NUMBERS = re.compile(r"^StringToNumber|^Decode|Parse|Deserialize|^ReadFile|^Reader")
Size = tuple[int, int]  # rows * length, rows * length ** 2


def bounded(meta: Any) -> frozenset[str]:
    """The signatures of a MetaGraphDef whose work the number and length of their rows bound."""
    graph = Ops(meta.graph_def)
    return frozenset(name for name, definition in meta.signature_def.items() if _is_bounded(definition, graph))


def _is_bounded(definition: Any, graph: Ops) -> bool:
    texts = of_texts(definition.inputs)
    if not texts and not of_tokens(definition.inputs):
        return False
    nodes = graph.behind(info.name for info in definition.outputs.values())
    return not any(UNBOUNDED.search(node.op) or (texts and _reads_numbers(node)) for node in nodes)


class Ops:
    """A graph to be walked from outputs to what they need, functions included."""

    def __init__(self, graph_def: Any) -> None:
        self._nodes = {node.name: node for node in graph_def.node}
        self._functions = {function.signature.name: function.node_def for function in graph_def.library.function}

    def behind(self, tensors: Iterable[str]) -> Iterator[Any]:
        """The nodes that these tensors of the graph come from."""
        waiting, seen, called = list(tensors), set[str](), set[str]()
        while waiting:
            name = waiting.pop().removeprefix("^").partition(":")[0]
            if name not in seen:
                seen.add(name)
                node = self._nodes[name]
                waiting += node.input
                yield node
                yield from self._called(node, called)

    def _called(self, node: Any, seen: set[str]) -> Iterator[Any]:
        """The nodes of the functions that a node calls, each function once."""
        for value in node.attr.values():
            for function in (value.func, *value.list.func):
                if function.name in self._functions and function.name not in seen:
                    seen.add(function.name)
                    for inner in self._functions[function.name]:
                        yield inner
                        yield from self._called(inner, seen)


def nodes_of(graph_def: Any) -> list[Any]:
    """A graph's nodes and its functions'."""
    functions = graph_def.library.function
    return [*graph_def.node, *(node for function in functions for node in function.node_def)]


def _reads_numbers(node: Any) -> bool:
    return READS_NUMBERS.search(node.op) is not None and node.attr["out_type"].type != tf.uint8.as_datatype_enum


def of_tokens(infos: Mapping[str, Any]) -> bool:
    """Whether inputs are integers [rows, length] with a mask among them."""
    return MASK in infos and _ranks(infos) == {2} and _dtypes(infos) <= {tf.int32, tf.int64}


def of_texts(infos: Mapping[str, Any]) -> bool:
    """Whether inputs are all strings [rows]."""
    return _ranks(infos) == {1} and _dtypes(infos) == {tf.string}


def _ranks(infos: Mapping[str, Any]) -> set[int]:
    return {len(info.tensor_shape.dim) for info in infos.values()}


def _dtypes(infos: Mapping[str, Any]) -> set[Any]:
    return {tf.as_dtype(info.dtype) for info in infos.values()}


def example(infos: Mapping[str, Any]) -> dict[str, Array] | None:
    """A row of tokens, an empty text, by tensor name; None for other inputs.

    Others are none of our business: what a first row would do to them can't be known.
    """
    if of_tokens(infos):
        return {
            info.name: np.full((1, ROW), int(name == MASK), tf.as_dtype(info.dtype).as_numpy_dtype)
            for name, info in infos.items()
        }
    if of_texts(infos):
        return {info.name: np.full(1, b"", object) for info in infos.values()}
    return None


def size_of(arrays: Collection[Array]) -> Size | None:
    """How much work the arrays of a bounded signature are; None where they are not all rows of one shape.

    Graphs take other shapes than a signature declares, and two that differ may be broadcast to something large.
    """
    first, texts = next(iter(arrays)), next(iter(arrays)).dtype.kind in "OSU"
    if first.ndim != (1 if texts else 2) or len({array.shape for array in arrays}) > 1:
        return None
    longest = sum(max(map(len, array.tolist()), default=0) for array in arrays) if texts else first.shape[1]
    length = longest + 2  # what marks the ends of a text is work too
    return len(first) * length, len(first) * length**2
