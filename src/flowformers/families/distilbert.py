"""DistilBERT (Sanh et al. 2019, arXiv:1910.01108): BERT without token types and pooler.

Reference: transformers modeling_distilbert.py.
"""

from __future__ import annotations

from dataclasses import replace

from flowformers import heads
from flowformers.families import bert, roberta
from flowformers.families._config import PretrainedConfig
from flowformers.families._family import Family
from flowformers.nn.encoder import EncoderSpec

DEFAULTS = {
    "vocab_size": 30522,
    "max_position_embeddings": 512,
    "sinusoidal_pos_embds": False,
    "n_layers": 6,
    "n_heads": 12,
    "dim": 768,
    "hidden_dim": 3072,
    "dropout": 0.1,
    "attention_dropout": 0.1,
    "activation": "gelu",
    "initializer_range": 0.02,
    "qa_dropout": 0.1,
    "seq_classif_dropout": 0.2,
    "pad_token_id": 0,
}
# BERT's word for a field -> DistilBERT's.
FIELDS = {
    "hidden_size": "dim",
    "num_attention_heads": "n_heads",
    "num_hidden_layers": "n_layers",
    "intermediate_size": "hidden_dim",
    "hidden_act": "activation",
    "hidden_dropout_prob": "dropout",
    "attention_probs_dropout_prob": "attention_dropout",
}
NAMES = {
    "embeddings.word_embeddings": "embeddings.word_embeddings",
    "embeddings.position_embeddings": "embeddings.position_embeddings",
    "embeddings.layer_norm": "embeddings.LayerNorm",
    "layer.{n}.attention.query": "transformer.layer.{n}.attention.q_lin",
    "layer.{n}.attention.key": "transformer.layer.{n}.attention.k_lin",
    "layer.{n}.attention.value": "transformer.layer.{n}.attention.v_lin",
    "layer.{n}.attention.output_dense": "transformer.layer.{n}.attention.out_lin",
    "layer.{n}.attention.layer_norm": "transformer.layer.{n}.sa_layer_norm",
    "layer.{n}.intermediate": "transformer.layer.{n}.ffn.lin1",
    "layer.{n}.output_dense": "transformer.layer.{n}.ffn.lin2",
    "layer.{n}.layer_norm": "transformer.layer.{n}.output_layer_norm",
}
VOCAB = {"transform": "/vocab_transform", "layer_norm": "/vocab_layer_norm", "bias": "/vocab_projector"}
SUMMARY = {"summary.dense": "/pre_classifier"} | bert.CLASSIFIER


def encoder(config: PretrainedConfig) -> EncoderSpec:
    """BERT's numbers by DistilBERT's names; the epsilon is the reference's literal, which has no decoder."""
    return replace(bert.encoder(config), type_vocab_size=0, layer_norm_eps=1e-12, causal=False)


FAMILY = Family(
    model_type="distilbert",
    stem="DistilBert",
    prefix="distilbert",
    defaults=DEFAULTS,
    encoder=encoder,
    names=NAMES,
    attribute_map=FIELDS,
    arguments=("input_ids", "attention_mask", "head_mask", "inputs_embeds"),
    decoder_arguments=(),
    signature=roberta.FAMILY.signature,
    heads={
        "Model": heads.base(output="TFBaseModelOutput", pooler=False),
        "ForMaskedLM": heads.masked_lm(VOCAB),
        "ForSequenceClassification": heads.sequence_classification(heads.PreClassifier, SUMMARY),
        "ForMultipleChoice": heads.multiple_choice(heads.PreClassifier, SUMMARY),
        "ForTokenClassification": heads.token_classification(bert.CLASSIFIER),
        "ForQuestionAnswering": heads.question_answering(roberta.OUTPUTS),
    },
)
