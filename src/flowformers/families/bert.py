"""BERT (Devlin et al. 2018, arXiv:1810.04805). Reference: transformers modeling_bert.py. Proved on all-MiniLM-L6-v2."""

from __future__ import annotations

from flowformers import heads
from flowformers.errors import ConfigError
from flowformers.families._config import PretrainedConfig
from flowformers.families._family import BERT_NAMES, Family
from flowformers.nn.encoder import EncoderSpec
from flowformers.nn.positions import Absolute

DEFAULTS = {
    "vocab_size": 30522,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "initializer_range": 0.02,
    "layer_norm_eps": 1e-12,
    "pad_token_id": 0,
    "position_embedding_type": "absolute",
    "use_cache": True,
    "classifier_dropout": None,
}


def encoder(config: PretrainedConfig) -> EncoderSpec:
    """BERT's numbers; its kin share the fields and replace what differs. Raises ConfigError on relative positions."""
    if getattr(config, "position_embedding_type", "absolute") not in ("absolute", None):
        raise ConfigError(
            f"expected position_embedding_type 'absolute'; got {config.position_embedding_type!r} in config.json. "
            "Relative position embeddings of BERT are not supported"
        )
    return EncoderSpec(
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        embedding_size=config.hidden_size,
        num_hidden_layers=config.num_hidden_layers,
        num_attention_heads=config.num_attention_heads,
        intermediate_size=config.intermediate_size,
        hidden_act=config.hidden_act,
        layer_norm_eps=getattr(config, "layer_norm_eps", 1e-12),  # DistilBERT's config has none
        hidden_dropout=config.hidden_dropout_prob,
        attention_dropout=config.attention_probs_dropout_prob,
        initializer_range=config.initializer_range,
        position_table=config.max_position_embeddings,
        type_vocab_size=getattr(config, "type_vocab_size", 0),
        positions=Absolute(),
        pad_id=config.pad_token_id,
        causal=bool(config.is_decoder),
    )


MASKED_LM = {
    "transform": "/cls.predictions.transform.dense",
    "layer_norm": "/cls.predictions.transform.LayerNorm",
    "bias": "/cls.predictions",
}
CLASSIFIER = {"classifier": "/classifier"}
NEXT_SENTENCE = {"classifier": "/cls.seq_relationship"}

FAMILY = Family(
    model_type="bert",
    stem="Bert",
    prefix="bert",
    defaults=DEFAULTS,
    encoder=encoder,
    names=BERT_NAMES,
    heads={
        "Model": heads.base(output="TFBaseModelOutputWithPoolingAndCrossAttentions", pooler=True),
        "ForPreTraining": heads.pre_training(
            {f"predictions.{ours}": theirs for ours, theirs in MASKED_LM.items()}
            | {f"relationship.{ours}": theirs for ours, theirs in NEXT_SENTENCE.items()}
        ),
        "ForMaskedLM": heads.masked_lm(MASKED_LM),
        "LMHeadModel": heads.causal_lm(MASKED_LM),
        "ForNextSentencePrediction": heads.next_sentence(NEXT_SENTENCE),
        "ForSequenceClassification": heads.sequence_classification(heads.Pooled, CLASSIFIER),
        "ForMultipleChoice": heads.multiple_choice(heads.Pooled, CLASSIFIER),
        "ForTokenClassification": heads.token_classification(CLASSIFIER),
        "ForQuestionAnswering": heads.question_answering({"classifier": "/qa_outputs"}),
    },
)
