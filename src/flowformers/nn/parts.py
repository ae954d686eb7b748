"""The three kinds of layer that own weights. Bodies are single TensorFlow ops on [T, H]."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from flowformers.errors import InvalidInput
from flowformers.prepared import Prepared, prepared
from flowformers.types import Array, Tensor

Initializer = Any  # keras.initializers.Initializer

_skip_initialisation: ContextVar[bool] = ContextVar("skip_initialisation", default=False)
_others: ContextVar[Mapping[tuple[int, str], Any] | None] = ContextVar("others", default=None)


@contextmanager
def uninitialised() -> Iterator[None]:
    """Create weights as zeros: a checkpoint is about to fill them, so random numbers would be drawn for nothing."""
    token = _skip_initialisation.set(True)
    try:
        yield
    finally:
        _skip_initialisation.reset(token)


@contextmanager
def in_place_of(others: Mapping[tuple[int, str], Any]) -> Iterator[None]:
    """Read other variables instead of the parts' own: by id of the part and name of the weight."""
    token = _others.set(others)
    try:
        yield
    finally:
        _others.reset(token)


def normal(stddev: float) -> Initializer:
    """Truncated normal at two standard deviations, as the TensorFlow models of transformers 4 start."""
    return keras.initializers.TruncatedNormal(stddev=stddev)


class Part(keras.layers.Layer):  # type: ignore[misc]
    """A layer that owns weights. `kinds` says what each weight is called in a checkpoint."""

    kinds: dict[str, str]

    def __init__(self) -> None:
        super().__init__()
        self.kinds = {}
        self._initializers: dict[str, Initializer] = {}

    def weight(self, name: str, shape: tuple[int, ...], initializer: Initializer, *, kind: str) -> Any:
        """A float variable of this part, registered under its kind (kernel, table, gamma, beta, bias)."""
        self.kinds[name] = kind
        # A clone draws numbers of its own; one initializer gives every weight of a shape the same ones.
        self._initializers[name] = initializer = initializer.clone()
        start = "zeros" if _skip_initialisation.get() else initializer
        self.built = True
        # Every op says which dtype it needs, so that it is the same inside and outside of Keras' mixed precision.
        return self.add_weight(name=name, shape=shape, initializer=start, autocast=False)

    def read(self, name: str, dtype: Any = None) -> Tensor:
        """A weight as it enters an op, of its own dtype or the one given."""
        others, store = _others.get(), prepared()
        value = getattr(self, name).value if others is None else others[id(self), name]
        as_it_is = dtype is None or value.dtype == dtype
        if store is not None and (store.form.constants or not as_it_is):
            return store.tensor((self, name, dtype), lambda: as_array(getattr(self, name), dtype))
        return value if as_it_is else tf.cast(value, dtype)

    def replace_rows(self, name: str, rows: int) -> None:
        """Another number of rows for a weight: the old rows as far as they go, then freshly drawn ones."""
        old = getattr(self, name)
        kept = min(rows, old.shape[0])
        fresh = self._initializers[name]((rows, *old.shape[1:]), dtype=old.dtype)
        delattr(self, name)  # so that Keras forgets the variable
        new = self.add_weight(name=name, shape=fresh.shape, initializer="zeros", autocast=False)
        new.assign(tf.concat([old.value[:kept], fresh[kept:]], axis=0))
        setattr(self, name, new)

    def initialise(self, name: str) -> None:
        """Draw the starting value of one weight anew: it is in no checkpoint."""
        variable = getattr(self, name)
        variable.assign(self._initializers[name](variable.shape, dtype=variable.dtype))


def as_array(variable: Any, dtype: Any = None) -> Array:
    """A variable's value, of its own dtype or the one given."""
    value: Array = variable.numpy()
    return value if dtype is None else value.astype(tf.as_dtype(dtype).as_numpy_dtype)


class Dense(Part):
    """x W + b (kernel [inputs, units], bias [units])."""

    def __init__(self, inputs: int, units: int, *, initializer: Initializer) -> None:
        super().__init__()
        self.inputs, self.units = inputs, units
        self.kernel = self.weight("kernel", (inputs, units), initializer, kind="kernel")
        self.bias = self.weight("bias", (units,), keras.initializers.Zeros(), kind="bias")

    def apply(self, x: Tensor) -> Tensor:
        """x: float [T, inputs]. Returns float [T, units]; MatMul and BiasAdd stay neighbours so that they fuse."""
        return tf.nn.bias_add(tf.matmul(x, self.read("kernel", x.dtype)), self.read("bias", x.dtype))


# Rows of a kernel whose bytes are a multiple of this fall onto the same places of a CPU's caches: products of 16 to 256
# tokens take up to half as long again, until the rows have SPARE columns more.
CONFLICT = 2048
SPARE = 32


def apply_prepared(store: Prepared, layers: Sequence[Dense], x: Tensor, *, cut: bool = True) -> Tensor:
    """Dense layers on the same x as one product, in a graph that is exported. x: float [T, inputs], more inputs than
    the layers have if apply_prepared gave it. Returns float [T, units * layers], or with spare columns if not cut."""
    units, given = sum(one.units for one in layers), x.shape[1] or layers[0].inputs
    columns = units + (SPARE if x.dtype == tf.float32 and units * 4 % CONFLICT == 0 else 0)
    if len(layers) == 1 and columns == units and given == layers[0].inputs:
        return layers[0].apply(x)

    def joined(name: str, shape: tuple[int, ...]) -> Tensor:
        def values() -> Array:
            found = np.concatenate([as_array(getattr(one, name), x.dtype) for one in layers], axis=-1)
            return np.pad(found, [(0, size - old) for size, old in zip(shape, found.shape, strict=True)])

        return store.tensor((*layers, x.dtype, name), values)

    y = tf.nn.bias_add(tf.matmul(x, joined("kernel", (given, columns))), joined("bias", (columns,)))
    return y[:, :units] if cut and columns > units else y


class LayerNorm(Part):
    """Layer normalisation over the last axis (Ba et al. 2016, arXiv:1607.06450)."""

    def __init__(self, width: int, *, epsilon: float) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.gamma = self.weight("gamma", (width,), keras.initializers.Ones(), kind="gamma")
        self.beta = self.weight("beta", (width,), keras.initializers.Zeros(), kind="beta")

    def apply(self, x: Tensor) -> Tensor:
        """x: float [T, H]. Returns the same shape and dtype; the moments are taken in float32."""
        wide = tf.cast(x, tf.float32)
        centred = wide - tf.reduce_mean(wide, axis=-1, keepdims=True)
        scale = tf.math.rsqrt(tf.reduce_mean(tf.square(centred), axis=-1, keepdims=True) + self.epsilon)
        return tf.cast(centred * scale * self.read("gamma", tf.float32) + self.read("beta", tf.float32), x.dtype)


class Table(Part):
    """An embedding table [rows, width]. pad_row, if any, is not trained by look-ups (PyTorch's padding_idx)."""

    def __init__(self, rows: int, width: int, *, initializer: Initializer, pad_row: int | None = None) -> None:
        super().__init__()
        self.rows, self._pad_row = rows, pad_row
        self.embeddings = self.weight("embeddings", (rows, width), initializer, kind="table")

    def look_up(self, ids: Tensor, *, training: bool = False) -> Tensor:
        """ids: int [...]. Returns float [..., width]. An id outside the table is InvalidArgument on CPU."""
        found = tf.gather(self.read("embeddings"), ids)
        if not training or self._pad_row is None:
            return found
        return tf.where(tf.equal(ids, self._pad_row)[..., None], tf.stop_gradient(found), found)

    def checked(self, ids: Tensor, name: str) -> Tensor:
        """The ids themselves. Raises InvalidInput for one outside the table, InvalidArgument where a graph runs.

        name: what the caller calls them. Not in an export: look_up's own error is left to it, and costs nothing.
        """
        if prepared() is not None:
            return ids
        wanted = f"expected {name} from 0 to {self.rows - 1}, the rows of the model's table; got"
        advice = "Do the tokenizer and the model belong together? resize_token_embeddings makes room for added tokens"
        if tf.executing_eagerly():
            values = ids.numpy()
            if values.size and not 0 <= values.min() <= values.max() < self.rows:
                raise InvalidInput(f"{wanted} {values.min()} to {values.max()}. {advice}")
            return ids
        inside = tf.reduce_all(tf.logical_and(ids >= 0, ids < self.rows))
        got = [wanted, tf.reduce_min(ids), "to", tf.reduce_max(ids), advice]
        with tf.control_dependencies([tf.debugging.Assert(inside, got)]):
            return tf.identity(ids)

    def resize(self, rows: int) -> None:
        """Cut or extend the table."""
        self.replace_rows("embeddings", rows)
        self.rows = rows

    def scores(self, x: Tensor) -> Tensor:
        """x: float [T, width]. Returns x times the table transposed, float [T, rows]: the tied output layer."""
        return tf.matmul(x, self.read("embeddings", x.dtype), transpose_b=True)


class Bias(Part):
    """A bare vector [width], for output layers whose kernel is tied to an embedding table."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.bias = self.weight("bias", (width,), keras.initializers.Zeros(), kind="bias")

    def apply(self, x: Tensor) -> Tensor:
        """x: float [T, width]. Returns x plus the vector."""
        return tf.nn.bias_add(x, self.read("bias", x.dtype))

    def resize(self, width: int) -> None:
        """Cut or extend the vector."""
        self.replace_rows("bias", width)


class Group(keras.layers.Layer):  # type: ignore[misc]
    """A layer made of parts. Attribute names are the path of a weight, so nothing else names it."""

    def __init__(self) -> None:
        super().__init__()
        self.built = True


def walk(layer: Any, path: str = "") -> Iterator[tuple[str, Part]]:
    """Every part below a layer with its attribute path ("layer.0.attention.query"), in order of creation."""
    if isinstance(layer, Part):
        yield path, layer
        return
    for name, child in vars(layer).items():
        if name.startswith("_"):
            continue
        children = child if isinstance(child, list | tuple) else [child]
        for index, one in enumerate(children):
            if isinstance(one, Part | Group):
                here = f"{name}.{index}" if isinstance(child, list | tuple) else name
                yield from walk(one, f"{path}.{here}" if path else here)
