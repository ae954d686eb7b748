"""What a family is: a value. Public classes are made from it in models/."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

from flowformers.families._config import PretrainedConfig
from flowformers.heads import HeadSpec
from flowformers.nn.encoder import EncoderSpec

IDS = ("input_ids", "attention_mask", "token_type_ids", "position_ids", "head_mask", "inputs_embeds")
DECODER = ("encoder_hidden_states", "encoder_attention_mask", "past_key_values", "use_cache")

# Our module path -> Hugging Face's, for the encoder that BERT, RoBERTa and ELECTRA share.
BERT_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "embeddings.word_embeddings": "embeddings.word_embeddings",
        "embeddings.token_type_embeddings": "embeddings.token_type_embeddings",
        "embeddings.position_embeddings": "embeddings.position_embeddings",
        "embeddings.layer_norm": "embeddings.LayerNorm",
        "layer.{n}.attention.query": "encoder.layer.{n}.attention.self.query",
        "layer.{n}.attention.key": "encoder.layer.{n}.attention.self.key",
        "layer.{n}.attention.value": "encoder.layer.{n}.attention.self.value",
        "layer.{n}.attention.output_dense": "encoder.layer.{n}.attention.output.dense",
        "layer.{n}.attention.layer_norm": "encoder.layer.{n}.attention.output.LayerNorm",
        "layer.{n}.intermediate": "encoder.layer.{n}.intermediate.dense",
        "layer.{n}.output_dense": "encoder.layer.{n}.output.dense",
        "layer.{n}.layer_norm": "encoder.layer.{n}.output.LayerNorm",
        "pooler.dense": "pooler.dense",
    }
)


@dataclass(frozen=True)
class Family:
    """One architecture.

    stem: as in public class names ("Bert"). prefix: of tensor names in a checkpoint. defaults: every field of
    config.json. encoder: the encoder's numbers from a config. names: our module path -> the checkpoint's. heads: public
    class suffix -> head. arguments: the tensor arguments of call() in positional order. signature: the inputs of the
    default serving signature. decoder_arguments: what call() takes behind them for heads that transformers also ran as
    decoders. attribute_map: the field's usual name for a config field -> this family's.
    """

    model_type: str
    stem: str
    prefix: str
    defaults: Mapping[str, Any]
    encoder: Callable[[PretrainedConfig], EncoderSpec]
    names: Mapping[str, str]
    heads: Mapping[str, HeadSpec]
    arguments: tuple[str, ...] = IDS
    signature: tuple[str, ...] = ("input_ids", "attention_mask", "token_type_ids")
    decoder_arguments: tuple[str, ...] = DECODER
    attribute_map: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def config_class(self) -> type[PretrainedConfig]:
        """BertConfig and so on."""
        fields = {"model_type": self.model_type, "defaults": self.defaults, "attribute_map": self.attribute_map}
        return type(f"{self.stem}Config", (PretrainedConfig,), fields | {"__module__": "flowformers"})
