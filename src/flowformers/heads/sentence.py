"""What follows the encoder in a sentence-transformers folder (sentence_transformers/models).

Every module takes and gives float32. Masked positions never count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from flowformers.errors import ConfigError
from flowformers.nn.activations import activation
from flowformers.nn.parts import Dense, Group
from flowformers.types import Tensor

# Fields of 1_Pooling/config.json in the order in which sentence-transformers joins the vectors.
POOLINGS = (
    "pooling_mode_cls_token",
    "pooling_mode_max_tokens",
    "pooling_mode_mean_tokens",
    "pooling_mode_mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens",
    "pooling_mode_lasttoken",
)
ACTIVATIONS = {
    "Identity": "linear",
    "Tanh": "tanh",
    "ReLU": "relu",
    "GELU": "gelu",
    "Sigmoid": "sigmoid",
    "SiLU": "silu",
}
ROUTES = ("module_input_name", "module_output_name", "use_residual")  # of a Dense that is more than a layer


def _weighted_sum(states: Tensor, weights: Tensor) -> Tensor:
    return tf.einsum("bsh,bs->bh", states, weights)


def _mean(states: Tensor, weights: Tensor) -> Tensor:
    return _weighted_sum(states, weights) / tf.maximum(tf.reduce_sum(weights, 1, keepdims=True), 1e-9)


def _cls(states: Tensor, mask: Tensor) -> Tensor:
    """The first real token: position 0 unless the padding is on the left."""
    return tf.gather(states, tf.argmax(mask, axis=1), batch_dims=1)


def _max(states: Tensor, mask: Tensor) -> Tensor:
    return tf.reduce_max(tf.where(mask[..., None] > 0, states, -1e9), axis=1)


def _mean_sqrt(states: Tensor, mask: Tensor) -> Tensor:
    return _weighted_sum(states, mask) / tf.sqrt(tf.maximum(tf.reduce_sum(mask, 1, keepdims=True), 1e-9))


def _weighted_mean(states: Tensor, mask: Tensor) -> Tensor:
    """Later tokens weigh more: 1, 2, 3, ... by position (Muennighoff 2022, arXiv:2202.08904)."""
    return _mean(states, mask * tf.range(1.0, tf.cast(tf.shape(mask)[1], tf.float32) + 1.0)[None])


def _last(states: Tensor, mask: Tensor) -> Tensor:
    last = tf.shape(mask)[1] - 1 - tf.argmax(tf.reverse(mask, [1]), axis=1, output_type=tf.int32)
    return tf.gather(states, tf.maximum(last, 0), batch_dims=1)


METHODS = dict(zip(POOLINGS, (_cls, _max, _mean, _mean_sqrt, _weighted_mean, _last), strict=True))
SHORT = {"cls": 0, "max": 1, "mean": 2, "mean_sqrt_len_tokens": 3, "weightedmean": 4, "lasttoken": 5}


class Pooling(Group):
    """Token states -> one vector; several poolings are joined end to end."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        super().__init__()
        self._fields = dict(fields)
        self._methods = tuple(METHODS[name] for name in _chosen(fields))

    def apply(self, states: Tensor, mask: Tensor) -> Tensor:
        """states: float32 [B, S, H]; mask: 0/1 float32 [B, S]. Returns float32 [B, H * poolings]."""
        return tf.concat([method(states, mask) for method in self._methods], axis=-1)

    def fields(self) -> dict[str, Any]:
        """The content of its config.json."""
        return self._fields


def _chosen(fields: Mapping[str, Any]) -> Sequence[str]:
    """Names of POOLINGS. Raises ConfigError: a pooling is read, never assumed."""
    if fields.get("include_prompt") is False:
        raise ConfigError("include_prompt is false in the pooling's config.json: pooling without the prompt is missing")
    if "pooling_mode" in fields:
        named = fields["pooling_mode"]
        modes = [named] if isinstance(named, str) else list(named)
        unknown = [mode for mode in modes if mode not in SHORT]
        chosen = [POOLINGS[SHORT[mode]] for mode in modes if mode in SHORT]
    else:
        chosen = [name for name in POOLINGS if fields.get(name)]
        unknown = [
            name for name, on in fields.items() if name.startswith("pooling_mode_") and on and name not in chosen
        ]
    if unknown or not chosen:
        raise ConfigError(
            f"expected a pooling among {', '.join(POOLINGS)} in the pooling's config.json; got {unknown or 'none'}"
        )
    return chosen


class Projection(Group):
    """sentence-transformers' Dense: a layer with an activation."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        super().__init__()
        self._fields = dict(fields)
        name = str(fields.get("activation_function", "torch.nn.modules.activation.Tanh")).rpartition(".")[2]
        if name not in ACTIVATIONS:
            raise ConfigError(f"expected an activation_function of {', '.join(ACTIVATIONS)}; got {name!r}")
        other = [field for field in ROUTES if fields.get(field) not in (None, False, "sentence_embedding")]
        if other:
            raise ConfigError(f"expected a Dense of the sentence_embedding alone; got {other[0]}={fields[other[0]]!r}")
        start = keras.initializers.GlorotUniform()
        self.linear = Dense(int(fields["in_features"]), int(fields["out_features"]), initializer=start)
        self.with_bias = bool(fields.get("bias", True))
        self._activation = activation(ACTIVATIONS[name])

    def apply(self, vectors: Tensor) -> Tensor:
        """vectors: float32 [B, in_features]. Returns float32 [B, out_features]."""
        return self._activation(self.linear.apply(vectors))

    def fields(self) -> dict[str, Any]:
        """The content of its config.json."""
        return self._fields


class Normalize(Group):
    """Vectors of length 1."""

    def apply(self, vectors: Tensor) -> Tensor:
        """vectors: float32 [B, H]. Returns the same shape."""
        return vectors / tf.maximum(tf.norm(vectors, axis=-1, keepdims=True), 1e-12)

    def fields(self) -> dict[str, Any]:
        """It has none."""
        return {}
