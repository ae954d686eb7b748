"""Google's own BERT: tf-models-official's BertEncoder in a tf.function."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from .hugging_face import Weights, config_of, dense, heads, joined, norm, weights_of
from .tensorflow_threads import encoder_call, limited_to

PACKAGES = ("tf-models-official", "tensorflow")


def load(folder: Path, *, variant: str, threads: int, scratch: Path) -> Any:
    """variant: graph or eager. See workers/__init__.py."""
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    limited_to(threads)
    names = {"ids": "input_word_ids", "mask": "input_mask", "types": "input_type_ids"}
    return encoder_call(_encoder(folder), **names, graph=variant == "graph")


def _encoder(folder: Path) -> Any:
    from official.nlp.modeling.networks import BertEncoderV2

    config, weights = config_of(folder), weights_of(folder)
    model = BertEncoderV2(
        vocab_size=config["vocab_size"],
        hidden_size=config["hidden_size"],
        num_layers=config["num_hidden_layers"],
        num_attention_heads=config["num_attention_heads"],
        max_sequence_length=config["max_position_embeddings"],
        type_vocab_size=config["type_vocab_size"],
        inner_dim=config["intermediate_size"],
        inner_activation=_gelu,
    )
    model(model.inputs)
    model.set_weights(list(_ordered(weights, config)))
    return model


def _gelu(x: Any) -> Any:
    import tensorflow as tf

    return tf.nn.gelu(x, approximate=False)


def _ordered(weights: Weights, config: dict[str, Any]) -> Any:
    """The weights in the order in which BertEncoderV2 creates them."""
    for name in ("word", "position", "token_type"):
        yield weights[f"embeddings.{name}_embeddings.weight"]
    yield from norm(weights, "embeddings.LayerNorm")
    count = config["num_attention_heads"]
    for layer in range(config["num_hidden_layers"]):
        place = f"encoder.layer.{layer}"
        for name in ("query", "key", "value"):
            yield from heads(weights, f"{place}.attention.self.{name}", count)
        yield from joined(weights, f"{place}.attention.output.dense", count)
        yield from norm(weights, f"{place}.attention.output.LayerNorm")
        yield from dense(weights, f"{place}.intermediate.dense")
        yield from dense(weights, f"{place}.output.dense")
        yield from norm(weights, f"{place}.output.LayerNorm")
    yield from dense(weights, "pooler.dense")
