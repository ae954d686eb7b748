"""Hidden states -> answers, each head once for all families. A family picks them as values."""

from __future__ import annotations

from flowformers.heads._spec import HeadSpec, Positions
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
from flowformers.heads.summaries import ActivatedFirst, FirstToken, Pooled, Projected

__all__ = [
    "ActivatedFirst",
    "FirstToken",
    "HeadSpec",
    "Pooled",
    "Positions",
    "Projected",
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
