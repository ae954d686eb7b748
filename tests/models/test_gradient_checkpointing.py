"""Gradient checkpointing changes memory and time, and no number."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import flowformers
from tests.conftest import IDS, MASK, tiny_config

LABELS = np.arange(len(IDS)) % 2
BATCH = {"input_ids": IDS, "attention_mask": MASK}


def mpnet():
    sizes = {name: getattr(tiny_config(), name) for name in ("vocab_size", "hidden_size", "num_hidden_layers")}
    return flowformers.MPNetConfig(**sizes, num_attention_heads=2, intermediate_size=24, max_position_embeddings=14)


def gradients(model):
    """Of the loss with respect to every weight, in a graph, always with the same dropout."""
    tf.random.set_seed(3)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(model(BATCH, labels=LABELS, training=True).loss)
        return loss, tape.gradient(loss, [weight.value for weight in model.trainable_weights])

    return step()


@pytest.mark.parametrize(
    ("config", "name"),
    [
        (tiny_config, "TFBertForSequenceClassification"),
        pytest.param(mpnet, "TFMPNetForSequenceClassification", marks=pytest.mark.slow),
    ],
)
def test_gradients_are_the_same_to_rounding(config, name):
    settings = config()
    settings.hidden_dropout_prob = settings.attention_probs_dropout_prob = 0.0
    model = getattr(flowformers, name)(settings)
    loss, expected = gradients(model)
    model.gradient_checkpointing_enable()
    again, got = gradients(model)
    assert abs(float(loss - again)) < 1e-6
    for one, other, weight in zip(expected, got, model.trainable_weights, strict=True):
        assert (one is None) == (other is None), weight.path
        if one is not None:
            np.testing.assert_allclose(
                tf.convert_to_tensor(other), tf.convert_to_tensor(one), atol=1e-6, err_msg=weight.path
            )


def test_what_is_dropped_is_the_same_when_values_are_computed_again():
    """Else the gradient would be that of another function: held against differences of the loss itself."""
    config = tiny_config(hidden_dropout_prob=0.4, attention_probs_dropout_prob=0.4)
    model = flowformers.TFBertForSequenceClassification(config)
    model.gradient_checkpointing_enable()
    weight = model.bert.layer[0].intermediate.kernel
    weight.assign(np.random.default_rng(1).normal(size=weight.shape))
    _, found = gradients(model)
    gradient = dict(zip([id(one) for one in model.trainable_weights], found, strict=True))[id(weight)]
    direction = gradient / tf.norm(gradient)
    start, step = tf.identity(weight.value), 1e-2
    losses = []
    for sign in (1, -1):
        weight.assign(start + sign * step * direction)
        losses.append(float(gradients(model)[0]))
    assert (losses[0] - losses[1]) / (2 * step) == pytest.approx(float(tf.norm(gradient)), rel=0.02)


def test_every_block_runs_once_more_for_its_gradient():
    """Counted in the graph: a Softmax for each block, and another where it runs again."""
    model = flowformers.TFBertForSequenceClassification(tiny_config())

    def softmaxes():
        @tf.function
        def step():
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(model(BATCH, training=True).logits)
            return tape.gradient(loss, model.bert.layer[0].intermediate.kernel.value)

        return sum(op.type == "Softmax" for op in step.get_concrete_function().graph.get_operations())

    kept = softmaxes()
    model.gradient_checkpointing_enable()
    assert (kept, softmaxes()) == (2, 4)


def test_it_counts_from_the_next_fit_on(monkeypatch):
    recomputed, recompute = [], tf.recompute_grad
    monkeypatch.setattr(tf, "recompute_grad", lambda body: recomputed.append(1) or recompute(body))
    model = flowformers.TFBertForSequenceClassification(tiny_config(num_hidden_layers=1))
    model.compile(optimizer="sgd")
    model.fit(BATCH | {"labels": LABELS}, verbose=0)
    assert not recomputed
    model.gradient_checkpointing_enable()
    model.fit(BATCH | {"labels": LABELS}, verbose=0)
    assert recomputed


def test_fit_trains_with_it_and_it_can_be_taken_back():
    model = flowformers.TFBertForSequenceClassification(tiny_config())
    model.gradient_checkpointing_enable()
    model.compile(optimizer=keras.optimizers.Adam(1e-2))
    history = model.fit(BATCH | {"labels": LABELS}, epochs=8, verbose=0).history["loss"]
    assert history[-1] < history[0]
    model.gradient_checkpointing_disable()
    assert not model.base_model.gradient_checkpointing
