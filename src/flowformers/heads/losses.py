"""Losses as transformers computes them (modeling_tf_utils.py); sums and means are taken in float32."""

from __future__ import annotations

import tensorflow as tf

from flowformers.errors import ConfigError, InvalidInput
from flowformers.types import Tensor

IGNORED = -100


def cross_entropy(labels: Tensor, logits: Tensor) -> Tensor:
    """labels: int [...]; logits: [..., C]. Returns float32 [...]."""
    return tf.nn.sparse_softmax_cross_entropy_with_logits(tf.cast(labels, tf.int32), tf.cast(logits, tf.float32))


def weighted(losses: Tensor, weights: Tensor | None) -> Tensor:
    """losses: float32 [B]; weights: of each sequence, [B] or [B, 1]. Returns float32 [B]."""
    if weights is None:
        return losses
    return losses * tf.reshape(tf.cast(weights, losses.dtype), tf.shape(losses))


def _counted(labelled: Tensor, weights: Tensor | None) -> Tensor:
    """labelled: 0/1 [B, S]; weights: of each sequence, [B] or [B, 1], or of each token, [B, S]. Returns [B, S]."""
    if weights is None:
        return labelled
    rows = tf.reshape(tf.cast(weights, labelled.dtype), [tf.shape(labelled)[0], -1])
    return labelled * tf.broadcast_to(rows, tf.shape(labelled))


def mean_of_labelled(labels: Tensor, logits: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean cross-entropy over the tokens whose label is not negative, float32 [1]; 0 when there is none.

    weights: see _counted. As in Keras they change what is summed, not what it is divided by.
    """
    if not labels.shape.is_compatible_with(logits.shape[:-1]):
        raise InvalidInput(
            f"expected a label for each token, [batch, sequence] {logits.shape[:-1]}; got labels of shape "
            f"{labels.shape}. Pad them as input_ids are padded, by {IGNORED}"
        )
    labels = tf.cast(labels, tf.int32)
    labelled = tf.cast(labels >= 0, tf.float32)
    losses = cross_entropy(tf.maximum(labels, 0), logits)
    total = tf.reduce_sum(losses * _counted(labelled, weights))
    return tf.reshape(tf.math.divide_no_nan(total, tf.reduce_sum(labelled)), [1])


def each(labels: Tensor) -> Tensor:
    """labels: [B] or [B, 1]. Returns int32 [B]. Raises InvalidInput for another static shape."""
    if labels.shape.rank not in (None, 1) and (labels.shape.rank != 2 or labels.shape[1] not in (None, 1)):
        raise InvalidInput(
            f"expected one label for each row, [batch]; got labels of shape {labels.shape}. Of one-hot rows take the "
            "argmax; where a row may have several labels set problem_type='multi_label_classification'"
        )
    return tf.reshape(tf.cast(labels, tf.int32), [-1])


def next_sentence(labels: Tensor, logits: Tensor) -> Tensor:
    """Cross-entropy of each pair, float32 [B]; 0 where the label is -100."""
    labels = each(labels)
    losses = cross_entropy(tf.maximum(labels, 0), tf.reshape(logits, [-1, logits.shape[-1]]))
    return losses * tf.cast(labels != IGNORED, tf.float32)


def boundary(positions: Tensor, logits: Tensor) -> Tensor:
    """Cross-entropy of where a span begins or ends, float32 [B].

    A position behind the sequence is ignored, as in PyTorch, which clamps it to the length and skips that index.
    """
    positions = each(positions)
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
        if not labels.shape.is_compatible_with(wide.shape):
            raise InvalidInput(f"expected 0 or 1 for each label, {wide.shape}; got labels of shape {labels.shape}")
        target = tf.cast(labels, tf.float32)
        return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=target, logits=wide), axis=-1)
    return cross_entropy(each(labels), wide)
