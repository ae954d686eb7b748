"""Weights prepared for a graph that is being exported: cast, joined or quantised beforehand and not at every call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import tensorflow as tf

from flowformers.types import Array, Tensor


class Prepared:
    """What the graphs traced in one context share. variables: those made here, in order."""

    def __init__(self, *, constants: bool) -> None:
        self.constants = constants
        self.variables: list[Any] = []
        self._made: dict[Any, Any] = {}
        self._tensors: dict[Any, Tensor] = {}

    def tensor(self, key: Any, make: Callable[[], Array]) -> Tensor:
        """The value of that key in the graph being traced; make() gives it the first time."""
        if self.constants:
            return self.constant(key, make)
        return self._in_graph(key, lambda: self._variable(key, make).value())

    def constant(self, key: Any, make: Callable[[], Array]) -> Tensor:
        """The same, always a constant."""
        return self._in_graph(key, lambda: tf.constant(self._once(key, make)))

    def _in_graph(self, key: Any, enter: Callable[[], Tensor]) -> Tensor:
        here = (tf.compat.v1.get_default_graph(), key)
        if here not in self._tensors:
            self._tensors[here] = enter()
        return self._tensors[here]

    def _variable(self, key: Any, make: Callable[[], Array]) -> Any:
        def create() -> Any:
            variable = tf.Variable(make(), trainable=False)
            self.variables.append(variable)
            return variable

        return self._once(key, create)

    def _once(self, key: Any, make: Callable[[], Any]) -> Any:
        if key not in self._made:
            with tf.init_scope():  # the model's variables are read outside the graph
                self._made[key] = make()
        return self._made[key]


_prepared: ContextVar[Prepared | None] = ContextVar("prepared", default=None)


@contextmanager
def preparing(*, constants: bool) -> Iterator[Prepared]:
    """Trace weights prepared: as constants of the graph, which oneDNN packs once, or as variables."""
    prepared = Prepared(constants=constants)
    token = _prepared.set(prepared)
    try:
        yield prepared
    finally:
        _prepared.reset(token)


def prepared() -> Prepared | None:
    """What is being prepared; None outside of an export."""
    return _prepared.get()
