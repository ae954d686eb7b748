"""How the dense layers of the encoder's blocks multiply: as they are, or in int8 on TensorFlow's own ops.

int8 here: every token's vector gets a scale of its own from its own numbers, so its answer does not depend on its
neighbours; every output channel of a weight gets one. Integer sums are exact on every x86 CPU: without VNNI the
instruction adds two products of an unsigned and a signed byte in 16 bits, and 2 x 255 x 64 is the most that fits, so
weights have 64 steps to each side instead of 127.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from flowformers.errors import InvalidInput
from flowformers.nn.activations import LOWEST, Activation
from flowformers.nn.parts import Dense, apply_prepared
from flowformers.prepared import prepared
from flowformers.types import Array, Tensor

PRECISIONS = ("fp32", "bf16", "fp16", "int8")
HALF = {"bf16": "bfloat16", "fp16": "float16"}
STEPS = 64
# Below any row that a layer norm leaves; a row of zeros keeps a finite scale.
SMALLEST = 1e-12


def checked(precision: str) -> str:
    """The name itself. Raises InvalidInput for none of PRECISIONS."""
    if precision not in PRECISIONS:
        raise InvalidInput(f"expected a precision of {', '.join(PRECISIONS)}; got {precision!r}")
    return precision


class Products(Protocol):
    """x times the weights of one dense layer, or of several side by side."""

    @property
    def joins(self) -> bool:
        """Whether several layers on the same x are cheaper as one product."""

    @property
    def shareable(self) -> bool:
        """Whether layers of other weights can be run with what was traced of these."""

    def apply(self, layers: Sequence[Dense], x: Tensor) -> Tensor:
        """x: float [T, inputs]. Returns float [T, units * layers]."""

    def feed_forward(self, inner: Dense, outer: Dense, x: Tensor, activate: Activation) -> Tensor:
        """x: float [T, H]. Returns outer(activate(inner(x))), float [T, H]."""


class Plain:
    """In the dtype of x."""

    shareable = True

    @property
    def joins(self) -> bool:
        """Outside of an export joining would copy the weights at every call."""
        return prepared() is not None

    def apply(self, layers: Sequence[Dense], x: Tensor) -> Tensor:
        """See Products."""
        store = prepared()
        return layers[0].apply(x) if store is None else apply_prepared(store, layers, x)

    def feed_forward(self, inner: Dense, outer: Dense, x: Tensor, activate: Activation) -> Tensor:
        """See Products."""
        store = prepared()
        if store is None:
            return outer.apply(activate(inner.apply(x)))
        # Columns too many are rows of zeros to the second product: nothing has to be cut off between the two.
        return apply_prepared(store, [outer], activate(apply_prepared(store, [inner], x, cut=False)))


@dataclass(frozen=True)
class Quantised:
    """A kernel [K, N] as whole numbers in int8 times a scale for each column, and the bias.

    sums: those of the columns of numbers, float32 [N].
    """

    numbers: Array
    scales: Array
    sums: Array
    bias: Array


def quantise(kernel: Array, bias: Array) -> Quantised:
    """kernel: float32 [K, N]; bias: float32 [N]."""
    scales = (np.maximum(np.abs(kernel).max(axis=0), SMALLEST) / STEPS).astype(np.float32)
    numbers = np.rint(kernel / scales).astype(np.int8)
    return Quantised(numbers, scales, numbers.sum(axis=0, dtype=np.float32), bias)


class Int8:
    """8-bit activations, 7-bit weights, 32-bit sums; float32 in and out. Weights are quantised at their first use."""

    joins = True
    shareable = False  # kernels are quantised outside of the graph

    def __init__(self) -> None:
        # By the layers themselves, not their ids: a layer that takes a freed one's place in memory has the same id.
        self._weights: dict[Any, Quantised] = {}
        self._tensors: dict[Any, Tensor] = {}

    def feed_forward(self, inner: Dense, outer: Dense, x: Tensor, activate: Activation) -> Tensor:
        """See Products."""
        return self.apply([outer], activate(self.apply([inner], x)), LOWEST.get(activate))

    def apply(self, layers: Sequence[Dense], x: Tensor, lowest: float | None = None) -> Tensor:
        """See Products. lowest: x is nowhere below it."""
        return self._signed(layers, x) if lowest is None else self._from(layers, x, lowest)

    def _signed(self, layers: Sequence[Dense], x: Tensor) -> Tensor:
        """Bytes 1 to 255 stand for -127 to 127 steps; what the shift of 128 adds comes off as a bias of the product."""
        largest = tf.maximum(tf.reduce_max(x, -1, keepdims=True), -tf.reduce_min(x, -1, keepdims=True))  # [T, 1]
        step = tf.maximum(largest, SMALLEST) / 127.0
        weights = self._of(layers)
        product = self._multiply(layers, tf.cast(x * (1.0 / step) + 128.5, tf.uint8), "shift", -128.0 * weights.sums)
        return product * step * self._fixed(layers, "scales", weights.scales) + self._fixed(
            layers, "bias", weights.bias
        )

    def _from(self, layers: Sequence[Dense], x: Tensor, lowest: float) -> Tensor:
        """Bytes 0 to 255 stand for `lowest` and up: all steps go where an activation function leaves its numbers."""
        step = tf.maximum(tf.reduce_max(x, -1, keepdims=True) - lowest, SMALLEST) / 255.0  # [T, 1]
        weights = self._of(layers)
        nothing = np.zeros_like(weights.sums)
        product = self._multiply(layers, tf.cast((x - lowest) * (1.0 / step) + 0.5, tf.uint8), "nothing", nothing)
        bias = weights.bias + np.float32(lowest) * weights.sums * weights.scales
        return product * step * self._fixed(layers, "scales", weights.scales) + self._fixed(layers, "raised", bias)

    def _multiply(self, layers: Sequence[Dense], x: Tensor, name: str, bias: Array) -> Tensor:
        numbers = self._fixed(layers, "numbers", self._of(layers).numbers)
        return _whole_product(x, numbers, self._fixed(layers, name, bias))

    def _of(self, layers: Sequence[Dense]) -> Quantised:
        key = tuple(layers)
        if key not in self._weights:
            with tf.init_scope():
                kernel = np.concatenate([one.kernel.numpy() for one in layers], axis=1)
                self._weights[key] = quantise(kernel, np.concatenate([one.bias.numpy() for one in layers]))
        return self._weights[key]

    def _fixed(self, layers: Sequence[Dense], name: str, value: Array) -> Tensor:
        key = (*layers, name)
        if (store := prepared()) is not None:
            # oneDNN packs a constant once: for a short request that is a quarter of the time.
            return store.constant((self, *key), lambda: value)
        if key not in self._tensors:
            with tf.init_scope():
                self._tensors[key] = tf.constant(value)
        return self._tensors[key]


def products(precision: str) -> Products:
    """The way of multiplying that a precision means. Raises InvalidInput where this process can't multiply that way."""
    if checked(precision) != "int8":
        return Plain()
    _require_product()
    return Int8()


def _require_product() -> None:
    if _multiplies():
        return
    raise InvalidInput(
        "precision int8 needs TensorFlow's oneDNN ops, which are off: set TF_ENABLE_ONEDNN_OPTS=1 before "
        "TensorFlow is imported (on an x86 CPU)"
    )


def _multiplies() -> bool:
    """Whether the op is there and gives a product: without oneDNN it gives an empty tensor, and no error."""
    zeros = tf.zeros([1, 1], tf.uint8)
    try:
        with tf.init_scope():
            return _whole_product(zeros, tf.cast(zeros, tf.int8), tf.zeros([1])).shape == [1, 1]  # type: ignore[no-any-return]
    except tf.errors.OpError:
        return False


def _whole_product(x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    """x: uint8 [T, K]; kernel: int8 [K, N]; bias: whole float32 [N]. Returns whole numbers as float32 [T, N].

    The ranges given make the op's own scale one.
    """
    return tf.raw_ops.QuantizedMatMulWithBiasAndDequantize(
        a=tf.bitcast(x, tf.quint8),
        b=tf.bitcast(kernel, tf.qint8),
        bias=bias,
        min_a=0.0,
        max_a=255.0,
        min_b=-127.0,
        max_b=127.0,
        min_freezed_output=0.0,
        max_freezed_output=1.0,
        Toutput=tf.float32,
        input_quant_mode="SCALED",
    )
