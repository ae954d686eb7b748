"""ELECTRA (Clark et al. 2020, arXiv:2003.10555): BERT's encoder, embeddings of a width of their own, no pooler.

Reference: transformers modeling_electra.py.
"""

from __future__ import annotations

from dataclasses import replace

from flowformers import heads
from flowformers.families import bert, roberta
from flowformers.families._config import PretrainedConfig
from flowformers.families._family import BERT_NAMES, Family
from flowformers.nn.encoder import EncoderSpec

DEFAULTS = bert.DEFAULTS | {
    "embedding_size": 128,
    "hidden_size": 256,
    "num_attention_heads": 4,
    "intermediate_size": 1024,
    "summary_type": "first",
    "summary_use_proj": True,
    "summary_activation": "gelu",
    "summary_last_dropout": 0.1,
}
GENERATOR = {
    "transform": "/generator_predictions.dense",
    "layer_norm": "/generator_predictions.LayerNorm",
    "bias": "/generator_lm_head",
}
DISCRIMINATOR = {
    "transform": "/discriminator_predictions.dense",
    "classifier": "/discriminator_predictions.dense_prediction",
}
SUMMARY = {"summary.dense": "/sequence_summary.summary"} | bert.CLASSIFIER


def encoder(config: PretrainedConfig) -> EncoderSpec:
    """BERT's numbers, and the width of the embeddings."""
    return replace(bert.encoder(config), embedding_size=config.embedding_size)


FAMILY = Family(
    model_type="electra",
    stem="Electra",
    prefix="electra",
    defaults=DEFAULTS,
    encoder=encoder,
    names={**BERT_NAMES, "embeddings.projection": "embeddings_project"},
    heads={
        "Model": heads.base(output="TFBaseModelOutputWithPastAndCrossAttentions", pooler=False),
        "ForPreTraining": heads.replaced_token_detection(DISCRIMINATOR),
        "ForMaskedLM": heads.masked_lm(GENERATOR, function="gelu"),
        "ForSequenceClassification": heads.sequence_classification(heads.ActivatedFirst, roberta.SUMMARY),
        "ForMultipleChoice": heads.multiple_choice(heads.SequenceSummary, SUMMARY),
        "ForTokenClassification": heads.token_classification(bert.CLASSIFIER),
        "ForQuestionAnswering": heads.question_answering(roberta.OUTPUTS),
    },
)
