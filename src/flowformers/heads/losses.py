"""Losses as transformers computes them (modeling_tf_utils.py); sums and means are taken in float32."""

from __future__ import annotations

import tensorflow as tf

from flowformers.errors import ConfigError
from flowformers.types import Tensor

IGNORED = -100


def cross_entropy(labels: Tensor, logits: Tensor) -> Tensor:
    """labels: int [...]; logits: [..., C]. Returns float32 [...]."""
    return tf.nn.sparse_softmax_cross_entropy_with_logits(tf.cast(labels, tf.int32), tf.cast(logits, tf.float32))


def mean_of_labelled(labels: Tensor, logits: Tensor) -> Tensor:
    """Mean cross-entropy over the tokens whose label is not negative, float32 [1]; 0 when there is none."""
    labels = tf.reshape(tf.cast(labels, tf.int32), [-1])
    active = tf.cast(labels >= 0, tf.float32)
    losses = cross_entropy(tf.maximum(labels, 0), tf.reshape(logits, [-1, logits.shape[-1]]))
    return tf.reshape(tf.math.divide_no_nan(tf.reduce_sum(losses * active), tf.reduce_sum(active)), [1])


def next_sentence(labels: Tensor, logits: Tensor) -> Tensor:
    """Cross-entropy of each pair, float32 [B]; 0 where the label is -100."""
    labels = tf.reshape(tf.cast(labels, tf.int32), [-1])
    losses = cross_entropy(tf.maximum(labels, 0), tf.reshape(logits, [-1, logits.shape[-1]]))
    return losses * tf.cast(labels != IGNORED, tf.float32)


def spans(start: Tensor, end: Tensor, start_logits: Tensor, end_logits: Tensor) -> Tensor:
    """Half the sum of both ends' cross-entropy, float32 [B].

    A position behind the sequence is ignored, as in PyTorch, which clamps it to the length and skips that index.
    """
    return (_boundary(start, start_logits) + _boundary(end, end_logits)) / 2.0


def _boundary(positions: Tensor, logits: Tensor) -> Tensor:
    positions = tf.reshape(tf.cast(positions, tf.int32), [-1])
    inside = tf.logical_and(positions >= 0, positions < tf.shape(logits)[1])
    losses = cross_entropy(tf.where(inside, positions, 0), logits)
    return losses * tf.cast(inside, tf.float32)


def problem_type(configured: str | None, num_labels: int, labels: Tensor) -> str:
    """The configured problem type, or what number of labels and their dtype imply.

    One label is regression; integer labels are single-label, float labels multi-label classification.
    """
    known = ("regression", "single_label_classification", "multi_label_classification")
    if configured is not None and configured not in known:
        raise ConfigError(f"expected problem_type to be one of {', '.join(known)}; got {configured!r}")
    if configured is not None:
        return configured
    if num_labels == 1:
        return "regression"
    floating = tf.as_dtype(labels.dtype).is_floating and len(labels.shape) == 2
    return "multi_label_classification" if floating else "single_label_classification"


def classification(labels: Tensor, logits: Tensor, *, kind: str) -> Tensor:
    """The loss of each sequence, float32 [B]. kind: one of problem_type()."""
    wide = tf.cast(logits, tf.float32)
    if kind == "regression":
        target = tf.reshape(tf.cast(labels, tf.float32), tf.shape(wide))
        return tf.reduce_mean(tf.math.squared_difference(target, wide), axis=-1)
    if kind == "multi_label_classification":
        target = tf.cast(labels, tf.float32)
        return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=target, logits=wide), axis=-1)
    return cross_entropy(tf.reshape(labels, [-1]), wide)
