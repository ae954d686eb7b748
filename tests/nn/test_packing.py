"""Sequences of whatever lengths in one batch: attention in two parts gives the answers of the dense path."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import flowformers
from flowformers.nn.packing import everything, real_tokens
from tests.conftest import tiny_config

LENGTH = 12


def drawn(cls, **changes):
    """A model with every number drawn."""
    config = getattr(flowformers, f"{cls.removeprefix('TF').split('For')[0].removesuffix('Model')}Config")
    sizes = {name: getattr(tiny_config(), name) for name in tiny_config().to_dict() if name.endswith("size")}
    layers = {"num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": LENGTH + 4}
    model = getattr(flowformers, cls)(config(**sizes, **layers, **changes))
    random = np.random.default_rng(5)
    for weight in model.weights:
        weight.assign(random.normal(scale=0.3, size=weight.shape) + (weight.name == "gamma"))
    return model


@pytest.fixture(scope="module")
def models():
    """MPNet's scores have a bias by distance, a causal model hides what comes later."""
    return [drawn("TFBertModel"), drawn("TFMPNetModel"), drawn("TFRobertaForCausalLM", is_decoder=True)]


def request(lengths, random, holes=False):
    mask = (np.arange(max(lengths))[None] < np.array(lengths)[:, None]).astype(np.int32)
    ids = random.integers(3, 40, mask.shape).astype(np.int32)
    return {"input_ids": ids, "attention_mask": mask * (random.random(mask.shape) < 0.7) if holes else mask}


def answer(output, mask):
    """The answers at the positions that the mask shows."""
    real = mask.astype(bool)
    return np.asarray(output[0])[real]


@settings(max_examples=15, deadline=None)
@given(
    lengths=st.lists(st.sampled_from([1, 2, 3, LENGTH]), min_size=1, max_size=9),
    seed=st.integers(0, 2**32),
    holes=st.booleans(),
    left=st.booleans(),
)
def test_a_batch_of_any_lengths_answers_as_the_dense_path(models, graphs, lengths, seed, holes, left):
    batch = request(lengths, np.random.default_rng(seed), holes)
    if left:
        batch = {name: value[:, ::-1].copy() for name, value in batch.items()}
    for model, graph in zip(models, graphs, strict=True):
        expected = answer(model(batch, output_hidden_states=True), batch["attention_mask"])
        for run in (model, graph):
            np.testing.assert_allclose(answer(run(batch), batch["attention_mask"]), expected, atol=1e-5)


@pytest.fixture(scope="module")
def graphs(models):
    spec = tf.TensorSpec([None, None], tf.int32)
    signature = [{"input_ids": spec, "attention_mask": spec}]
    return [tf.function(model, input_signature=signature) for model in models]


def test_one_long_sequence_costs_the_short_ones_nothing():
    """Attention is asked for two small squares and not for one large one."""
    mask = np.zeros((32, 512), np.int32)
    mask[:, :10] = mask[7] = 1
    packed = real_tokens(tf.constant(mask), 32, 512)
    squares = [int(one.layout.batch) * int(one.layout.length) ** 2 for one in packed.buckets]
    assert squares == [512**2, 31 * 10**2]
    assert packed.sizes.numpy().tolist() == [512, 310]


@pytest.mark.parametrize("lengths", [[6, 6, 6], [6, 5, 6], [9]])
def test_sequences_of_like_length_run_together(lengths):
    mask = (np.arange(9)[None] < np.array(lengths)[:, None]).astype(np.int32)
    assert len(real_tokens(tf.constant(mask), len(lengths), 9).buckets) == 1
    assert len(everything(3, 9).buckets) == 1


@pytest.mark.parametrize(
    ("cls", "recompute"), [("TFBertForSequenceClassification", False), ("TFMPNetForSequenceClassification", True)]
)
def test_a_batch_of_uneven_lengths_trains_as_each_row_alone(cls, recompute):
    model = drawn(cls, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, num_labels=2)
    if recompute:
        model.gradient_checkpointing_enable()

    def gradients(batch, labels):
        with tf.GradientTape() as tape:
            loss = model({**batch, "labels": labels}, training=True).loss
        return [tf.convert_to_tensor(one) for one in tape.gradient(loss, model.trainable_variables)]

    batch = request([LENGTH, 2, 3, 2], np.random.default_rng(3))
    labels = np.array([0, 1, 1, 0])
    alone = []
    for row, count in enumerate(batch["attention_mask"].sum(1)):
        cut = {name: value[row : row + 1, :count] for name, value in batch.items()}
        alone.append(gradients(cut, labels[row : row + 1]))
    for together in (gradients(batch, labels), tf.function(gradients)(batch, labels)):
        for one, rows in zip(together, zip(*alone, strict=True), strict=True):
            np.testing.assert_allclose(one, np.sum([np.asarray(row) for row in rows], 0), atol=1e-5)
