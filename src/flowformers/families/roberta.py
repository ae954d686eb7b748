"""RoBERTa (Liu et al. 2019, arXiv:1907.11692): BERT's encoder with positions counted behind the padding id.

Reference: transformers modeling_roberta.py. The default signature has no token_type_ids: the tokenizer makes none.
"""

from __future__ import annotations

from dataclasses import replace

from flowformers import heads
from flowformers.errors import ConfigError
from flowformers.families import bert
from flowformers.families._config import PretrainedConfig
from flowformers.families._family import BERT_NAMES, Family
from flowformers.nn.encoder import EncoderSpec
from flowformers.nn.positions import AfterPad

DEFAULTS = bert.DEFAULTS | {"vocab_size": 50265, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
LM_HEAD = {"transform": "/lm_head.dense", "layer_norm": "/lm_head.layer_norm", "bias": "/lm_head"}
SUMMARY = {"summary.dense": "/classifier.dense", "classifier": "/classifier.out_proj"}
OUTPUTS = {"classifier": "/qa_outputs"}


def encoder(config: PretrainedConfig) -> EncoderSpec:
    """BERT's numbers; positions follow the config's pad_token_id, as in PyTorch. Raises ConfigError without one."""
    if config.pad_token_id is None:
        raise ConfigError("expected pad_token_id in config.json, behind which positions are counted; got null")
    return replace(bert.encoder(config), positions=AfterPad(config.pad_token_id))


FAMILY = Family(
    model_type="roberta",
    stem="Roberta",
    prefix="roberta",
    defaults=DEFAULTS,
    encoder=encoder,
    names=BERT_NAMES,
    signature=("input_ids", "attention_mask"),
    heads={
        "Model": heads.base(output="TFBaseModelOutputWithPoolingAndCrossAttentions", pooler=True),
        "ForMaskedLM": heads.masked_lm(LM_HEAD, function="gelu"),
        "ForCausalLM": heads.causal_lm(LM_HEAD, function="gelu"),
        "ForSequenceClassification": heads.sequence_classification(heads.FirstToken, SUMMARY),
        "ForMultipleChoice": heads.multiple_choice(heads.Pooled, bert.CLASSIFIER),
        "ForTokenClassification": heads.token_classification(bert.CLASSIFIER),
        "ForQuestionAnswering": heads.question_answering(OUTPUTS),
    },
)
