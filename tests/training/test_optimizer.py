"""create_optimizer: the rate at every step, and what is decayed."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import flowformers
from flowformers.errors import InvalidInput
from tests.conftest import tiny_config


@settings(deadline=None)  # the first call waits for TensorFlow
@given(st.integers(1, 50), st.integers(1, 100), st.floats(0, 1), st.floats(0.5, 2))
def test_the_rate_rises_to_the_peak_and_falls_to_the_end(warmup, decay, ratio, power):
    _, schedule = flowformers.create_optimizer(1e-3, warmup + decay, warmup, min_lr_ratio=ratio, power=power)
    rates = [float(schedule(step)) for step in (0, warmup, warmup + decay, warmup + decay + 10)]
    np.testing.assert_allclose(rates, [0, 1e-3, 1e-3 * ratio, 1e-3 * ratio], atol=1e-9)
    assert float(schedule(warmup / 2)) == pytest.approx(5e-4)


def test_the_schedule_survives_keras_files():
    _, schedule = flowformers.create_optimizer(1e-3, 100, 10, min_lr_ratio=0.1)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(schedule))
    assert [float(again(step)) for step in range(0, 120, 7)] == [float(schedule(step)) for step in range(0, 120, 7)]


@pytest.mark.parametrize(
    ("included", "kinds"),
    [
        (None, {"kernel", "table"}),
        (["^layer_norm"], {"kernel", "table", "gamma", "beta"}),
        (["b[ei]", "nothing"], {"kernel", "table", "beta", "bias"}),
    ],
)
def test_decay_shrinks_kernels_and_tables_and_spares_norms_and_biases_but_for_those_included(included, kinds):
    model = flowformers.TFBertForSequenceClassification(tiny_config())
    for weight in model.weights:
        weight.assign(np.ones(weight.shape))
    optimizer, _ = flowformers.create_optimizer(0.1, 10, 0, weight_decay_rate=0.5, include_in_weight_decay=included)
    optimizer = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(optimizer))
    optimizer.build(model.trainable_variables)
    optimizer.apply([0.0 * weight for weight in model.trainable_variables])
    for slot in model.slots():
        expected = 0.95 if slot.parameter.kind in kinds else 1.0
        np.testing.assert_allclose(slot.variable.numpy(), expected, atol=1e-6, err_msg=slot.parameter.file_name)


def test_a_warm_up_longer_than_the_training_is_refused():
    with pytest.raises(InvalidInput, match="num_warmup_steps"):
        flowformers.create_optimizer(1e-3, 10, 11)


def test_an_interrupted_fit_goes_on_where_it_was(tmp_path):
    """Keras' BackupAndRestore keeps weights, optimiser and epoch: two halves end as one whole does."""
    random = np.random.default_rng(0)
    x = {"input_ids": random.integers(1, 40, (8, 5)), "attention_mask": np.ones((8, 5), int)}
    y = random.integers(0, 2, 8)

    def fit(epochs, folder=None):
        keras.utils.set_random_seed(3)
        config = tiny_config(num_hidden_layers=1, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
        model = flowformers.TFBertForSequenceClassification(config)
        model.compile(optimizer=flowformers.create_optimizer(1e-3, 8, 2, weight_decay_rate=0.01)[0])
        backup = [keras.callbacks.BackupAndRestore(str(folder), delete_checkpoint=False)] if folder else []
        model.fit(x, y, batch_size=4, epochs=epochs, shuffle=False, verbose=0, callbacks=backup)
        return model

    whole = fit(4)
    fit(2, tmp_path / "backup")
    resumed = fit(4, tmp_path / "backup")
    for one, other in zip(whole.weights, resumed.weights, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), atol=1e-6)


def test_mixed_precision_trains_in_half_and_keeps_weights_in_float32():
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model = flowformers.TFBertForSequenceClassification(tiny_config(num_hidden_layers=1))
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert {weight.dtype for weight in model.weights} == {"float32"}
    x = {"input_ids": np.array([[1, 2, 3], [4, 5, 6]]), "attention_mask": np.array([[1, 1, 1], [1, 1, 0]])}
    assert model(x).logits.dtype == "bfloat16"
    model.compile(optimizer=keras.optimizers.Adam(1e-2))
    losses = model.fit(x, np.array([0, 1]), epochs=15, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
