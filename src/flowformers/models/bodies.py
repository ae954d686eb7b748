"""One function for the whole model, shared by everything that calls it while a SavedModel is traced."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import tensorflow as tf

from flowformers.prepared import Form, preparing, unprepared
from flowformers.types import Tensor

FuncGraph = tf.__internal__.FuncGraph
Tensors = Mapping[str, Tensor]
# Named tensors -> named answers; dense=True computes padding, too.
Body = Callable[..., dict[str, Any]]
# limit: the longest sequence, in tokens.
Wrap = Callable[[Body, int], Body]


class _Functions:
    def __init__(self, wrap: Wrap) -> None:
        self._wrap, self._traced = wrap, dict[Any, Any]()

    def call(self, key: Any, body: Body, tensors: Tensors, limit: int) -> dict[str, Any]:
        specs = {name: _free(name, value) for name, value in sorted(tensors.items())}
        key = (key, tuple(specs.items()))
        if key not in self._traced:
            wrapped = self._wrap(body, limit)
            with tf.init_scope():  # a function of its own, not one inside the signature that comes first
                function = tf.function(lambda given: wrapped(given), autograph=False)
                self._traced[key] = function.get_concrete_function(specs)
        return dict(self._traced[key](dict(tensors)))


def _free(name: str, value: Tensor) -> Any:
    return tf.TensorSpec([None, None, *value.shape[2:]], value.dtype, name=name)


_functions: ContextVar[_Functions | None] = ContextVar("functions", default=None)


def inline(body: Body, limit: int) -> Body:
    """The body as it is."""
    return body


@contextmanager
def one_function(form: Form, wrap: Wrap = inline) -> Iterator[list[Any]]:
    """Whatever calls a model here calls one traced function of it, so that signatures share its weights and graph.

    wrap: what goes around the body, as batching does. Yields the variables that are made for the graph, as they are
    made.
    """
    token = _functions.set(_Functions(wrap))
    try:
        with preparing(form) as prepared:
            yield prepared.variables
    finally:
        _functions.reset(token)


def through(key: Any, body: Body, tensors: Tensors, limit: int) -> dict[str, Any]:
    """body(tensors), by way of the shared function of that key where there is one."""
    functions = _functions.get()
    if functions is None:
        return body(tensors)
    if _within_another_function():
        # That function keeps the graph for later calls, when the weights may be others: it must read the model's own.
        with unprepared():
            return body(tensors)
    return functions.call(key, body, tensors, limit)


def _within_another_function() -> bool:
    """Whether a tf.function is being traced that a signature calls."""
    graph, functions = tf.compat.v1.get_default_graph(), 0
    while hasattr(graph, "outer_graph"):
        functions += type(graph) is FuncGraph  # those of loops and conditions are of classes below it
        graph = graph.outer_graph
    return functions > 1
