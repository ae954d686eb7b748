"""tf.Example signatures: what TensorFlow Serving's Classify and Regress methods call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from flowformers.export.functions import inputs_of
from flowformers.export.text import classify
from flowformers.export.text.running import labels_of, logits_of
from flowformers.text import Encoded, TFTokenizer, stitched
from flowformers.types import Tensor

# Features that an Example may leave out: all ones and all zeros.
OPTIONAL = ("attention_mask", "token_type_ids")

Scores = Callable[[Tensor], Tensor]


def example_signatures(model: Any, functions: Mapping[str, Any], tokenizer: TFTokenizer | None) -> dict[str, Any]:
    """`classify` or `regress` for a classifier, made of the signatures it has already; nothing for other heads.

    One number (num_labels 1) is `regress`: outputs float32 [n]. Several labels are `classify`: classes string [n, k] in
    the order of config.id2label, and scores float32 [n, k], the `probabilities` of the text signature. Several numbers
    (regression with num_labels above 1) are neither. Each Example holds `text` and maybe `text_pair` where there is a
    tokenizer; else input_ids, and attention_mask and token_type_ids unless they are all ones and all zeros.
    """
    scores = _scores(model, functions, tokenizer)
    if scores is None:
        return {}
    if model.config.num_labels == 1:
        return {"regress": _signature(lambda inputs: {"outputs": tf.squeeze(scores(inputs), -1)})}
    if model.config.problem_type == "regression":
        return {}
    labels = labels_of(model.config)

    def classified(inputs: Tensor) -> dict[str, Tensor]:
        values = scores(inputs)
        return {"classes": tf.tile(tf.constant([labels]), [tf.shape(values)[0], 1]), "scores": values}

    return {"classify": _signature(classified)}


def _signature(body: Callable[[Tensor], Mapping[str, Tensor]]) -> Any:
    function = tf.function(lambda inputs: body(inputs), autograph=False)
    return function.get_concrete_function(inputs=tf.TensorSpec([None], tf.string, name="inputs"))


def _scores(model: Any, functions: Mapping[str, Any], tokenizer: TFTokenizer | None) -> Scores | None:
    """From serialized Examples [n] to probabilities [n, C]; None where the head is no classifier."""
    if not hasattr(model, "head_spec") or "ModelForSequenceClassification" not in model.head_spec.auto:
        return None
    if tokenizer is not None:
        return lambda inputs: classify(model.config, logits_of(model, _encoded(tokenizer, inputs)))["probabilities"]
    ids = functions.get("serving_default")
    if ids is None or not {"input_ids", "attention_mask"} <= set(inputs_of(ids)):
        return None
    return lambda inputs: classify(model.config, ids(**_batch(model, ids, inputs))["logits"])["probabilities"]


# Text


def _encoded(tokenizer: TFTokenizer, inputs: Tensor) -> Encoded:
    """Each Example as the signature `text` encodes it, or `text_pair` where it has a second text."""
    features = tf.io.parse_example(
        inputs, {"text": tf.io.FixedLenFeature([], tf.string), "text_pair": tf.io.RaggedFeature(tf.string)}
    )
    text, pair = features["text"], features["text_pair"]
    tf.debugging.assert_less(pair.row_lengths(), 2, "expected at most one text_pair in an Example")
    paired = pair.row_lengths() > 0
    rows = [tf.cast(tf.where(chosen)[:, 0], tf.int32) for chosen in (~paired, paired)]
    alone, together = (tf.gather(text, chosen) for chosen in rows)
    return stitched([tokenizer.encode([alone]), tokenizer.encode([together, pair.flat_values])], rows, tokenizer.pad_id)


# Ids


def _batch(model: Any, ids: Any, inputs: Tensor) -> dict[str, Tensor]:
    """What the signature of ids takes, int32 [n, longest] each."""
    specs = inputs_of(ids)
    features = tf.io.parse_example(inputs, {name: tf.io.RaggedFeature(tf.int64) for name in specs})
    lengths = features["input_ids"].row_lengths()
    tf.debugging.assert_positive(lengths, "expected input_ids in every Example")
    for name, values in features.items():
        fits = values.row_lengths() == lengths
        allowed = fits | (values.row_lengths() == 0) if name in OPTIONAL else fits
        tf.debugging.assert_equal(
            allowed, True, f"expected as many {name} as input_ids in every Example{', or none' * (name in OPTIONAL)}"
        )
    given = features["attention_mask"].row_lengths() > 0
    padding = {"input_ids": model.config.pad_token_id or 0}
    longest = tf.reduce_max(lengths)
    size = tf.stack([-1, longest])
    batch = {name: values.to_tensor(padding.get(name, 0), shape=size) for name, values in features.items()}
    mask = tf.where(given[:, None], batch["attention_mask"], tf.sequence_mask(lengths, longest, tf.int64))
    batch["attention_mask"] = mask
    return {name: tf.ensure_shape(tf.cast(x, specs[name].dtype), specs[name].shape) for name, x in batch.items()}
