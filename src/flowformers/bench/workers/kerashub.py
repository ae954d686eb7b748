"""KerasHub's BertBackbone on Keras 3 with TensorFlow: eager, or in a tf.function.

Its Gelu is the tanh approximation, which config.json does not ask for; the exact one takes its place.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from .hugging_face import config_of, dense, heads, joined, norm, weights_of
from .tensorflow_threads import encoder_call, limited_to

PACKAGES = ("keras-hub", "keras", "tensorflow")


def load(folder: Path, *, variant: str, threads: int, scratch: Path) -> Any:
    """variant: graph or eager. See workers/__init__.py."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    limited_to(threads)
    names = {"ids": "token_ids", "mask": "padding_mask", "types": "segment_ids"}
    return encoder_call(_backbone(folder), **names, graph=variant == "graph")


def _backbone(folder: Path) -> Any:
    import keras_hub

    config, weights = config_of(folder), weights_of(folder)
    model = keras_hub.models.BertBackbone(
        vocabulary_size=config["vocab_size"],
        num_layers=config["num_hidden_layers"],
        num_heads=config["num_attention_heads"],
        hidden_dim=config["hidden_size"],
        intermediate_dim=config["intermediate_size"],
        max_sequence_length=config["max_position_embeddings"],
        num_segments=config["type_vocab_size"],
    )
    for name, layer in (("word", "token"), ("position", "position"), ("token_type", "segment")):
        model.get_layer(f"{layer}_embedding").set_weights([weights[f"embeddings.{name}_embeddings.weight"]])
    model.get_layer("embeddings_layer_norm").set_weights(norm(weights, "embeddings.LayerNorm"))
    for number in range(config["num_hidden_layers"]):
        _fill(model.get_layer(f"transformer_layer_{number}"), weights, f"encoder.layer.{number}", config)
    model.get_layer("pooled_dense").set_weights(dense(weights, "pooler.dense"))
    return model


def _fill(layer: Any, weights: Any, place: str, config: dict[str, Any]) -> None:
    count, attention = config["num_attention_heads"], layer._self_attention_layer
    for part in ("query", "key", "value"):
        into = getattr(attention, f"{part}_dense")
        into.set_weights(heads(weights, f"{place}.attention.self.{part}", count))
    attention.output_dense.set_weights(joined(weights, f"{place}.attention.output.dense", count))
    layer._self_attention_layer_norm.set_weights(norm(weights, f"{place}.attention.output.LayerNorm"))
    layer._feedforward_intermediate_dense.set_weights(dense(weights, f"{place}.intermediate.dense"))
    layer._feedforward_intermediate_dense.activation = _gelu
    layer._feedforward_output_dense.set_weights(dense(weights, f"{place}.output.dense"))
    layer._feedforward_layer_norm.set_weights(norm(weights, f"{place}.output.LayerNorm"))


def _gelu(x: Any) -> Any:
    import keras

    return keras.ops.gelu(x, approximate=False)
