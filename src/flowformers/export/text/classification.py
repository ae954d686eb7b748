"""Sequence classification: text -> label, score, probabilities and logits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from flowformers.export.text.running import labels_of, logits_of
from flowformers.text import TFTokenizer
from flowformers.types import Tensor


def bodies(model: Any, graph: TFTokenizer) -> dict[str, Callable[..., Mapping[str, Tensor]]]:
    """`text` takes one text, `text_pair` two; the longer one of a pair is cut first. Outputs: see classify()."""

    def text(text: Tensor) -> Mapping[str, Tensor]:
        return classify(model.config, logits_of(model, graph.encode([text])))

    def text_pair(text: Tensor, text_pair: Tensor) -> Mapping[str, Tensor]:
        return classify(model.config, logits_of(model, graph.encode([text, text_pair])))

    return {"text": text, "text_pair": text_pair}


def classify(config: Any, logits: Tensor) -> Mapping[str, Tensor]:
    """logits: float [B, C]. Returns label (string [B]), score (float32 [B]), probabilities and logits [B, C].

    As Hugging Face's text-classification pipeline: softmax; a sigmoid for several labels at once or a single one; the
    bare number for regression. label and score are those of the highest probability.
    """
    logits = tf.cast(logits, tf.float32)
    probabilities = _probabilities(config, logits)
    best = tf.argmax(probabilities, axis=-1)
    return {
        "label": tf.gather(labels_of(config), best),
        "score": tf.reduce_max(probabilities, axis=-1),
        "probabilities": probabilities,
        "logits": logits,
    }


def _probabilities(config: Any, logits: Tensor) -> Tensor:
    if config.problem_type == "regression":
        return tf.identity(logits)
    if config.problem_type == "multi_label_classification" or config.num_labels == 1:
        return tf.sigmoid(logits)
    return tf.nn.softmax(logits)
