"""Hidden states -> answers, each head once for all families. A family picks them as values."""

from __future__ import annotations

from flowformers.heads._spec import HeadSpec
from flowformers.heads.answers import (
    base,
    causal_lm,
    masked_lm,
    multiple_choice,
    next_sentence,
    pre_training,
    question_answering,
    replaced_token_detection,
    sequence_classification,
    token_classification,
)
from flowformers.heads.summaries import ActivatedFirst, FirstToken, Pooled, PreClassifier, SequenceSummary

__all__ = [
    "ActivatedFirst",
    "FirstToken",
    "HeadSpec",
    "Pooled",
    "PreClassifier",
    "SequenceSummary",
    "base",
    "causal_lm",
    "masked_lm",
    "multiple_choice",
    "next_sentence",
    "pre_training",
    "question_answering",
    "replaced_token_detection",
    "sequence_classification",
    "token_classification",
]
