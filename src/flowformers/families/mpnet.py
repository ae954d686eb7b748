"""MPNet (Song et al. 2020, arXiv:2004.09297): RoBERTa without token types, with one relative position bias.

Reference: transformers modeling_mpnet.py.
"""

from __future__ import annotations

from dataclasses import replace

from flowformers import heads
from flowformers.errors import ConfigError
from flowformers.families import bert, roberta
from flowformers.families._config import PretrainedConfig
from flowformers.families._family import BERT_NAMES, Family
from flowformers.nn.encoder import EncoderSpec
from flowformers.nn.positions import AfterPad
from flowformers.nn.relative import RelativeBuckets

BUCKETS = 32  # a literal in the reference, whatever the table's size
PAD_ID = 1  # likewise
NOT_MPNET = ("type_vocab_size", "position_embedding_type", "use_cache", "classifier_dropout")
DEFAULTS = {name: value for name, value in roberta.DEFAULTS.items() if name not in NOT_MPNET} | {
    "vocab_size": 30527,
    "relative_attention_num_buckets": BUCKETS,
}
NAMES = {
    "layer.{n}.attention.query": "encoder.layer.{n}.attention.attn.q",
    "layer.{n}.attention.key": "encoder.layer.{n}.attention.attn.k",
    "layer.{n}.attention.value": "encoder.layer.{n}.attention.attn.v",
    "layer.{n}.attention.output_dense": "encoder.layer.{n}.attention.attn.o",
    "layer.{n}.attention.layer_norm": "encoder.layer.{n}.attention.LayerNorm",
    "relative_attention_bias": "encoder.relative_attention_bias",
}


def encoder(config: PretrainedConfig) -> EncoderSpec:
    """RoBERTa's numbers, no token types, no decoder, the bias.

    Raises ConfigError for another number of buckets.
    """
    if config.relative_attention_num_buckets != BUCKETS:
        raise ConfigError(
            f"expected relative_attention_num_buckets {BUCKETS}, which the reference computes whatever the config "
            f"says; got {config.relative_attention_num_buckets} in config.json"
        )
    return replace(
        bert.encoder(config),
        type_vocab_size=0,
        pad_id=PAD_ID,
        positions=AfterPad(PAD_ID),
        attention_bias=RelativeBuckets(BUCKETS),
        causal=False,
    )


FAMILY = Family(
    model_type="mpnet",
    stem="MPNet",
    prefix="mpnet",
    defaults=DEFAULTS,
    encoder=encoder,
    names={**BERT_NAMES, **NAMES},
    arguments=("input_ids", "attention_mask", "position_ids", "head_mask", "inputs_embeds"),
    decoder_arguments=(),
    signature=roberta.FAMILY.signature,
    heads={
        "Model": heads.base(output="TFBaseModelOutputWithPooling", pooler=True),
        **{name: head for name, head in roberta.FAMILY.heads.items() if name not in ("Model", "ForCausalLM")},
    },
)
