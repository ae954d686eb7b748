"""Text signatures: strings in, what the head means out. Labels and tokenisation are inside the graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from flowformers.errors import InvalidInput
from flowformers.text import TFTokenizer
from flowformers.types import Tensor

Answers = Mapping[str, Tensor]


def text_signatures(model: Any, tokenizer: Any) -> dict[str, Any]:
    """Signature name -> concrete function: `text`, and for classifiers `text_pair` with two inputs.

    tokenizer: what AutoTokenizer gives, or a TFTokenizer. Compares it with the `tokenizers` library first. Raises
    InvalidInput where the head or the tokenizer has no text form.
    """
    answer = answer_of(model)
    graph = tokenizer if isinstance(tokenizer, TFTokenizer) else TFTokenizer(tokenizer, max_length=_limit(model))
    graph.check()

    def run(text: Tensor, text_pair: Tensor | None = None) -> Answers:
        batch = graph(text, text_pair)
        return answer({name: batch[name] for name in model.serving_inputs if name in batch})

    spec = {name: tf.TensorSpec([None], tf.string, name=name) for name in ("text", "text_pair")}
    functions = {"text": _concrete(lambda text: run(text), text=spec["text"])}
    if takes_pairs(model):
        functions["text_pair"] = _concrete(run, **spec)
    return functions


def has_text_form(model: Any) -> bool:
    """Whether text_signatures knows the head."""
    return _is_sentence_encoder(model) or "ModelForSequenceClassification" in model.head_spec.auto


def takes_pairs(model: Any) -> bool:
    """Whether two texts make one input."""
    return not _is_sentence_encoder(model)


def _is_sentence_encoder(model: Any) -> bool:
    return not hasattr(model, "head_spec")


def _limit(model: Any) -> int:
    if _is_sentence_encoder(model):
        return int(model.max_length)
    return int(model.base_model.spec.max_length)


def _concrete(function: Callable[..., Answers], **specs: Any) -> Any:
    return tf.function(function, autograph=False).get_concrete_function(**specs)


def answer_of(model: Any) -> Callable[[Mapping[str, Tensor]], Answers]:
    """From ids to what the text signature answers."""
    if not has_text_form(model):
        raise InvalidInput(f"{type(model).__name__} has no text signature yet: export it without a tokenizer")
    if _is_sentence_encoder(model):
        return model.serving  # type: ignore[no-any-return]
    return lambda inputs: classify(model.config, model(inputs, return_dict=True)["logits"])


def classify(config: Any, logits: Tensor) -> Answers:
    """logits: float [B, C]. Returns label (string [B]), score (float32 [B]), probabilities and logits [B, C].

    As Hugging Face's text-classification pipeline: softmax; a sigmoid for several labels at once or a single one; the
    bare number for regression. label and score are those of the highest probability.
    """
    logits = tf.cast(logits, tf.float32)
    labels = tf.constant([str(config.id2label[index]) for index in range(config.num_labels)])
    probabilities = _probabilities(config, logits)
    best = tf.argmax(probabilities, axis=-1)
    return {
        "label": tf.gather(labels, best),
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
