"""Activation functions by the names that config.json uses (reference: transformers activations.py)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import tensorflow as tf

from flowformers.errors import ConfigError
from flowformers.types import Tensor

Activation = Callable[[Tensor], Tensor]


def gelu(x: Tensor) -> Tensor:
    """Exact Gelu (Hendrycks and Gimpel 2016, arXiv:1606.08415), in the form that TensorFlow fuses with a MatMul."""
    return tf.nn.gelu(x, approximate=False)


def gelu_tanh(x: Tensor) -> Tensor:
    """Gelu by its tanh approximation."""
    return tf.nn.gelu(x, approximate=True)


def gelu_10(x: Tensor) -> Tensor:
    """Exact Gelu clipped to [-10, 10]."""
    return tf.clip_by_value(gelu(x), -10.0, 10.0)


def quick_gelu(x: Tensor) -> Tensor:
    """x sigmoid(1.702 x)."""
    return x * tf.sigmoid(1.702 * x)


def mish(x: Tensor) -> Tensor:
    """x tanh(softplus(x)) (Misra 2019, arXiv:1908.08681)."""
    return x * tf.tanh(tf.math.softplus(x))


def gelu_accurate(x: Tensor) -> Tensor:
    """The tanh form with sqrt(2/pi) computed in double precision."""
    return 0.5 * x * (1.0 + tf.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * tf.pow(x, 3))))


def leaky_relu(x: Tensor) -> Tensor:
    """Leaky ReLU with PyTorch's slope of 0.01."""
    return tf.nn.leaky_relu(x, alpha=0.01)


def linear(x: Tensor) -> Tensor:
    """The identity."""
    return x


ACTIVATIONS: Mapping[str, Activation] = MappingProxyType(
    {
        "gelu": gelu,
        "gelu_python": gelu,
        "gelu_10": gelu_10,
        "gelu_accurate": gelu_accurate,
        "gelu_fast": gelu_tanh,
        "gelu_new": gelu_tanh,
        "gelu_python_tanh": gelu_tanh,
        "gelu_pytorch_tanh": gelu_tanh,
        "leaky_relu": leaky_relu,
        "linear": linear,
        "mish": mish,
        "quick_gelu": quick_gelu,
        "relu": tf.nn.relu,
        "relu6": tf.nn.relu6,
        "sigmoid": tf.sigmoid,
        "silu": tf.nn.silu,
        "swish": tf.nn.silu,
        "tanh": tf.tanh,
    }
)


# Just below the least value of functions that have one; where it is known, int8 spends no steps below it.
LOWEST: Mapping[Activation, float] = MappingProxyType(
    {gelu: -0.1702, gelu_tanh: -0.1702, tf.nn.relu: 0.0, tf.nn.silu: -0.2786, quick_gelu: -0.1637, mish: -0.3089}
)


def activation(name: str) -> Activation:
    """The function of that name. Raises ConfigError that lists the known names."""
    if name not in ACTIVATIONS:
        raise ConfigError(f"expected hidden_act to be one of {', '.join(ACTIVATIONS)}; got {name!r} in config.json")
    return ACTIVATIONS[name]
