"""compile, fit, summary and weights work as Keras users expect, without padding in training too."""

from __future__ import annotations

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import flowformers
from flowformers import BatchEncoding
from flowformers.errors import InvalidInput
from tests.conftest import IDS, MASK, tiny_config

LABELS = np.array([0, 1, 1])


def still(**changes):
    return tiny_config(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, **changes)


@pytest.mark.parametrize("where", ["in x", pytest.param("as y", marks=pytest.mark.slow), "by tf.data"])
def test_fit_lowers_the_models_own_loss(where, batch):
    keras.utils.set_random_seed(1)
    model = flowformers.TFBertForSequenceClassification(still(num_hidden_layers=1, initializer_range=0.2))
    model.compile(optimizer=keras.optimizers.Adam(0.01), metrics=["accuracy"])
    data = {
        "in x": ({**batch, "labels": LABELS}, None),
        "as y": (batch, LABELS),
        "by tf.data": (tf.data.Dataset.from_tensor_slices((batch, LABELS)).batch(3), None),
    }[where]
    history = model.fit(*data, epochs=20, verbose=0).history
    assert history["loss"][-1] < history["loss"][0] / 2
    assert history["accuracy"][-1] == 1.0


def test_an_explicit_loss_is_keras_business(classifier, batch):
    classifier.compile(optimizer="sgd", loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    own = np.mean(classifier(batch, labels=LABELS).loss)
    assert classifier.evaluate(batch, LABELS, verbose=0) == pytest.approx(own, abs=1e-5)


def test_fit_can_be_compiled_by_xla(batch):
    model = flowformers.TFBertForSequenceClassification(still(num_hidden_layers=1))
    expected = np.mean(model(batch, labels=LABELS).loss)
    model.compile(optimizer=keras.optimizers.SGD(0.1), jit_compile=True)
    first, second = model.fit(batch, LABELS, epochs=2, verbose=0).history["loss"]
    assert first == pytest.approx(expected, abs=1e-5)
    assert second < first


REPLICAS = """
import keras, numpy as np, tensorflow as tf
import flowformers
from tests.conftest import IDS, MASK
from tests.models.test_training import still
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
ids, mask, labels = (np.concatenate([x, x]) for x in (IDS, MASK, [0, 1, 1]))
data = tf.data.Dataset.from_tensor_slices(({"input_ids": ids, "attention_mask": mask}, labels)).batch(6)
for strategy in (tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"])):
    with strategy.scope():
        keras.utils.set_random_seed(1)
        model = flowformers.TFBertForSequenceClassification(still(num_hidden_layers=1))
        model.compile(optimizer=keras.optimizers.SGD(0.5))
    print(*model.fit(data, epochs=3, verbose=0, shuffle=False).history["loss"])
"""


@pytest.mark.slow
def test_two_replicas_train_as_one():
    environment = os.environ | {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", REPLICAS], capture_output=True, text=True, env=environment)
    one, two = (list(map(float, line.split())) for line in done.stdout.splitlines())
    assert one[2] < one[0]
    assert two == pytest.approx(one, abs=1e-5), done.stderr


def test_gradients_without_padding_equal_dense_gradients(batch):
    model = flowformers.TFBertForSequenceClassification(still())
    gradients = []
    for collect in (False, True):
        with tf.GradientTape() as tape:
            output = model(batch, labels=LABELS, output_hidden_states=collect, training=True)
            loss = tf.reduce_mean(output.loss)
        gradients.append([tf.convert_to_tensor(g) for g in tape.gradient(loss, model.trainable_variables)])
    for packed, dense in zip(*gradients, strict=True):
        np.testing.assert_allclose(packed, dense, atol=1e-5)


def test_dropout_is_there_in_training_only(classifier, batch):
    assert np.array_equal(classifier(batch).logits, classifier(batch).logits)
    assert not np.array_equal(classifier(batch, training=True).logits, classifier(batch, training=True).logits)


def test_predict_joins_batches_by_name(classifier, batch):
    output = classifier.predict(batch, batch_size=2, verbose=0)
    np.testing.assert_allclose(output.logits, classifier(batch).logits, atol=1e-5)


def test_predict_runs_in_the_precision_set_last(classifier, batch):
    exact = classifier.predict(batch, verbose=0).logits
    for precision in ("bf16", "fp32"):
        classifier.precision = precision
        assert np.array_equal(classifier.predict(batch, verbose=0).logits, exact) == (precision == "fp32")


def test_predict_knows_the_words_that_came_after_a_predict(classifier):
    classifier.predict(np.full((2, 3), 39), verbose=0)
    classifier.resize_token_embeddings(41)
    new = np.full((2, 3), 40)
    np.testing.assert_allclose(classifier.predict(new, verbose=0).logits, classifier(new).logits, atol=1e-6)


@pytest.mark.parametrize("where", [pytest.param("by name", marks=pytest.mark.slow), "by position"])
def test_held_out_data_and_numbers_are_given_as_to_keras(classifier, batch, where):
    encoded = BatchEncoding(batch)
    classifier.compile(optimizer="sgd")
    held_out = (encoded, LABELS)
    given = {
        "by name": ((), {"batch_size": 3, "epochs": 2, "verbose": 0, "validation_data": held_out}),
        "by position": ((3, 2, 0, None, 0.0, held_out), {}),
    }[where]
    history = classifier.fit(encoded, LABELS, *given[0], **given[1]).history
    assert len(history["val_loss"]) == 2
    assert classifier.evaluate(encoded, LABELS, 3, 0) == pytest.approx(history["val_loss"][-1], abs=1e-6)
    np.testing.assert_allclose(classifier.predict(encoded, 2, 0).logits, classifier(batch).logits, atol=1e-5)


def test_keras_weights_and_whole_models_come_back(classifier, batch, tmp_path):
    classifier.save_weights(tmp_path / "w.weights.h5")
    other = flowformers.TFBertForSequenceClassification(tiny_config())
    other.load_weights(tmp_path / "w.weights.h5")
    classifier.save(tmp_path / "m.keras")
    whole = keras.saving.load_model(tmp_path / "m.keras")
    for again in (other, whole):
        np.testing.assert_array_equal(again(batch).logits, classifier(batch).logits)


def test_summary_counts_every_weight(classifier):
    lines: list[str] = []
    classifier.summary(print_fn=lines.append)
    assert f"{classifier.num_parameters():,}" in "\n".join(lines)


def test_a_head_without_labels_says_what_to_give(classifier, batch):
    classifier.compile(optimizer="sgd")
    with pytest.raises(InvalidInput, match="labels"):
        classifier.fit(batch, verbose=0)


def test_masked_words_are_left_out_of_the_loss():
    model = flowformers.TFBertForMaskedLM(still())
    labels = np.where(MASK == 1, IDS, -100)
    output = model(IDS, MASK, labels=labels)
    chance = tf.nn.log_softmax(output.logits).numpy()
    rows, columns = np.nonzero(MASK)
    expected = -chance[rows, columns, IDS[rows, columns]].mean()
    assert float(output.loss[0]) == pytest.approx(expected, abs=1e-5)
