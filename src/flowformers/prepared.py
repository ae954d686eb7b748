"""What a graph that is being exported holds and how: weights cast, joined or quantised beforehand, tables of text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from typing import Any

from flowformers.types import Array, Tensor

Make = Callable[[], Array]


@dataclass(frozen=True)
class Form:
    """How the graphs of one export are stored and run.

    constants: weights and tables are constants of the graph, which oneDNN packs once, else variables. accelerated: it
    is for a GPU, where tables are constants in any case, as a variable might stand on the GPU and be copied for the ops
    of text at every call. by_length: long and short sequences of a batch are attended to apart.
    """

    constants: bool = False
    accelerated: bool = False
    by_length: bool = False


class Prepared:
    """What the graphs traced in one context share. variables: those made here, in order.

    Keys hold the layers themselves, not their ids: an id is given again when its layer is freed.
    """

    def __init__(self, form: Form) -> None:
        self.form = form
        self.variables: list[Any] = []
        self._made: dict[Any, Any] = {}
        self._tensors: dict[Any, Tensor] = {}

    def tensor(self, key: Any, make: Make) -> Tensor:
        """The value of that key in the graph being traced; make() gives it the first time."""
        return self.constant(key, make) if self.form.constants else self._in_graph(key, self._variable(key, make).value)

    def table(self, key: Any, make: Make) -> Tensor:
        """The same for what ops on the CPU read."""
        if self.form.constants or self.form.accelerated:
            return self.constant(key, make)
        return self._in_graph(key, self._variable(key, make, device="/CPU:0").value)

    def constant(self, key: Any, make: Make) -> Tensor:
        """The same, always a constant."""
        import tensorflow as tf

        return self._in_graph(key, lambda: tf.constant(self.once(key, make)))

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """What make() gives, outside of any graph, the first time that the key is asked for."""
        import tensorflow as tf

        if key not in self._made:
            with tf.init_scope():  # the model's variables are read outside the graph
                self._made[key] = make()
        return self._made[key]

    def _in_graph(self, key: Any, enter: Callable[[], Tensor]) -> Tensor:
        import tensorflow as tf

        here = (tf.compat.v1.get_default_graph(), key)
        if here not in self._tensors:
            self._tensors[here] = enter()
        return self._tensors[here]

    def _variable(self, key: Any, make: Make, device: str | None = None) -> Any:
        import tensorflow as tf

        def create() -> Any:
            with tf.device(device):
                return tf.Variable(make(), trainable=False)

        def create_apart() -> Any:
            # tf.function traces a second time when it sees a variable being made; it looks at its own thread only.
            with ThreadPoolExecutor(1) as thread:
                variable = thread.submit(copy_context().run, create).result()
            self.variables.append(variable)
            return variable

        return self.once(key, create_apart)


_prepared: ContextVar[Prepared | None] = ContextVar("prepared", default=None)


@contextmanager
def preparing(form: Form) -> Iterator[Prepared]:
    """Trace weights prepared, in that form."""
    prepared = Prepared(form)
    token = _prepared.set(prepared)
    try:
        yield prepared
    finally:
        _prepared.reset(token)


@contextmanager
def unprepared() -> Iterator[None]:
    """Trace weights as they are, although an export is under way."""
    token = _prepared.set(None)
    try:
        yield
    finally:
        _prepared.reset(token)


def prepared() -> Prepared | None:
    """What is being prepared; None outside of an export."""
    return _prepared.get()


def held(values: Array) -> Tensor:
    """A table of text in the graph being traced: in an export, one variable for all that need it; else a constant."""
    import tensorflow as tf

    store = prepared()
    if store is None:
        return tf.constant(values)
    return store.table((values.dtype.str, values.shape, values.tobytes()), lambda: values)
