"""Eager mode runs all blocks through one traced graph, and nobody can tell but by the time it takes."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import tensorflow as tf

from flowformers.nn.parts import normal
from tests.nn.test_packing import LENGTH, drawn, request


@pytest.fixture
def model():
    return drawn("TFBertModel")


@pytest.fixture
def batch():
    return request([LENGTH, 3, 5], np.random.default_rng(1))


def in_graph(model, batch):
    return tf.function(lambda: model(batch)[0])()


def worst(one, other):
    return float(np.max(np.abs(np.asarray(one) - np.asarray(other))))


def test_other_weights_are_seen_at_the_next_call(model, batch):
    before = model(batch)[0]
    for weight in model.weights:
        weight.assign(weight * 0.5)
    after = model(batch)[0]
    assert worst(before, after) > 0.01
    assert worst(after, in_graph(model, batch)) < 1e-5


@pytest.mark.parametrize("number", [0, 1])
def test_a_part_that_was_replaced_is_run(model, batch, number):
    model(batch)
    inner = model.bert.layer[number].intermediate

    class Doubled(type(inner)):
        def apply(self, x):
            return 2 * super().apply(x)

    doubled = Doubled(inner.inputs, inner.units, initializer=normal(0.02))
    doubled.kernel.assign(inner.kernel)
    doubled.bias.assign(inner.bias)
    before = model(batch)[0]
    model.bert.layer[number].intermediate = doubled
    assert worst(model(batch)[0], before) > 0.01
    whole = {"input_ids": batch["input_ids"]}  # without a mask it is another graph, traced now
    for given in (batch, whole):
        assert worst(model(given)[0], in_graph(model, given)) < 1e-5


@pytest.mark.parametrize("inner", [False, True])
def test_a_block_or_an_attention_of_another_class_is_run(model, batch, inner):
    before = model(batch)[0]
    group = model.bert.layer[1].attention if inner else model.bert.layer[1]

    class Doubled(type(group)):
        def apply(self, *args, **kwargs):
            hidden, weights = super().apply(*args, **kwargs)
            return 2 * hidden, weights

    group.__class__ = Doubled
    assert worst(model(batch)[0], before) > 0.01
    assert worst(model(batch)[0], in_graph(model, batch)) < 1e-5


def test_a_copy_runs_its_own_weights(model, batch):
    before = model(batch)[0]
    other = copy.deepcopy(model)
    for weight in other.weights:
        weight.assign(weight * 0.5)
    assert worst(other(batch)[0], in_graph(other, batch)) < 1e-5
    assert worst(model(batch)[0], before) == 0


def test_gradients_are_those_of_the_graph(model, batch):
    def gradients(run):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(run()))
        return tape.gradient(loss, model.bert.layer[0].trainable_variables + model.bert.layer[1].trainable_variables)

    pairs = zip(gradients(lambda: model(batch)[0]), gradients(lambda: in_graph(model, batch)), strict=True)
    assert all(worst(one, other) < 1e-5 for one, other in pairs)


def test_another_size_is_no_other_graph(model, monkeypatch):
    traced, function = [], tf.function
    monkeypatch.setattr(tf, "function", lambda *args, **kwargs: traced.append(1) or function(*args, **kwargs))
    for rows, length in ((2, 3), (3, 5), (4, 7), (5, LENGTH), (2, LENGTH)):
        model(np.ones((rows, length), np.int32))
    assert len(traced) == 1


def test_whoever_wants_to_look_inside_gets_every_op(model, batch, monkeypatch):
    seen = []
    apply = type(model.bert.layer[0]).apply

    def watched(block, hidden, *args, **kwargs):
        seen.append(hidden.numpy())
        return apply(block, hidden, *args, **kwargs)

    monkeypatch.setattr(type(model.bert.layer[0]), "apply", watched)
    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        model(batch)
        model(batch)
    finally:
        tf.config.run_functions_eagerly(before)
    assert len(seen) == 4
