"""compile, fit, summary and weights work as Keras users expect, without padding in training too."""

from __future__ import annotations

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


SPANS = {"start_positions": np.array([1, 0, 2]), "end_positions": np.array([2, 1, 4])}
WEIGHTS = np.array([2.0, 0.5, 0.0], np.float32)


@pytest.mark.parametrize("weights", [WEIGHTS, WEIGHTS[:, None]], ids=["flat", "column"])
def test_rows_weigh_what_sample_weight_says(classifier, batch, weights):
    classifier.compile(optimizer="sgd")
    expected = np.mean(classifier(batch, labels=LABELS).loss * WEIGHTS)
    data = tf.data.Dataset.from_tensors((batch, LABELS, weights))
    assert classifier.evaluate(data, verbose=0) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("by_token", [False, True])
def test_tokens_weigh_what_sample_weight_says(batch, by_token):
    model = flowformers.TFBertForTokenClassification(still())
    labels = np.where(MASK == 1, IDS % 2, -100)
    weights = WEIGHTS[:, None] * (np.arange(6) if by_token else np.ones(6))
    chance = tf.nn.log_softmax(model(batch).logits).numpy()
    losses = -np.take_along_axis(chance, np.maximum(labels, 0)[..., None], -1)[..., 0]
    expected = (losses * weights)[MASK == 1].sum() / MASK.sum()
    model.compile(optimizer="sgd")
    found = model.evaluate(batch, labels, sample_weight=weights if by_token else WEIGHTS, verbose=0)
    assert found == pytest.approx(expected, abs=1e-5)


def test_spans_weigh_what_sample_weight_says(batch):
    model = flowformers.TFBertForQuestionAnswering(still())
    expected = np.mean(model(batch, **SPANS).loss * WEIGHTS)
    model.compile(optimizer="sgd")
    assert model.evaluate(batch, SPANS, sample_weight=WEIGHTS, verbose=0) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(lambda batch: ({**batch, **SPANS},), id="in x", marks=pytest.mark.slow),
        pytest.param(lambda batch: (batch, tuple(SPANS.values())), id="a pair"),
    ],
)
def test_held_out_spans_have_the_loss_that_training_has(batch, data):
    model = flowformers.TFBertForQuestionAnswering(still(num_hidden_layers=1, initializer_range=0.2))
    expected = np.mean(model(batch, **SPANS).loss)
    model.compile(optimizer=keras.optimizers.SGD(0.0))
    assert model.evaluate(*data(batch), verbose=0) == pytest.approx(expected, abs=1e-5)
    assert model.fit(*data(batch), verbose=0).history["loss"] == [pytest.approx(expected, abs=1e-5)]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("TFBertForTokenClassification", lambda batch: (batch, IDS % 2), "sample_weight of the labels' shape"),
        ("TFBertForSequenceClassification", lambda batch: ({**batch, "labels": LABELS},), r"fit\(x, y\)"),
    ],
)
def test_class_weight_is_refused_where_keras_would_misread_it(batch, name, data, message):
    model = getattr(flowformers, name)(still())
    model.compile(optimizer="sgd")
    with pytest.raises(InvalidInput, match=message):
        model.fit(*data(batch), class_weight={0: 1.0, 1: 2.0}, verbose=0)


@pytest.mark.parametrize("where", ["in x", pytest.param("as y", marks=pytest.mark.slow)])
def test_a_model_that_returns_tuples_trains(batch, where):
    model = flowformers.TFBertForSequenceClassification(still(num_hidden_layers=1, return_dict=False))
    expected = np.mean(model({**batch, "labels": LABELS})[0])
    model.compile(optimizer="sgd", metrics=["accuracy"])
    data = ({**batch, "labels": LABELS},) if where == "in x" else (batch, LABELS)
    assert model.fit(*data, verbose=0).history["loss"] == [pytest.approx(expected, abs=1e-5)]
    assert model.predict(batch, verbose=0).logits.shape == (3, 2)


class OfItsOwn(flowformers.TFBertForSequenceClassification):
    """A head that someone wrote: the mean of the states, and three classes."""

    def __init__(self, config):
        super().__init__(config)
        self.extra = keras.layers.Dense(3)

    def call(self, inputs, training=False):
        states = self.bert(inputs, training=training).last_hidden_state
        return self.extra(tf.reduce_mean(states, axis=1))


def test_a_head_of_ones_own_trains_and_predicts_tensors(batch):
    model = OfItsOwn(still(num_hidden_layers=1))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    expected = float(loss(np.array([0, 1, 2]), model(batch)))
    model.compile(optimizer="sgd", loss=loss, metrics=["accuracy"])
    assert model.fit(batch, np.array([0, 1, 2]), verbose=0).history["loss"] == [pytest.approx(expected, abs=1e-5)]
    assert model.predict(batch, verbose=0).shape == (3, 3)


def test_the_models_own_loss_may_be_named_as_in_transformers(batch):
    model = flowformers.TFBertForSequenceClassification(still(num_hidden_layers=1))
    expected = np.mean(model.hf_compute_loss(LABELS, model(batch).logits))
    assert expected == pytest.approx(np.mean(model(batch, labels=LABELS).loss), abs=1e-6)
    for loss in (model.compute_loss, model.hf_compute_loss, "passthrough"):
        model.compile(optimizer="sgd", loss=loss)
        assert model.loss is None
    assert model.evaluate(batch, LABELS, verbose=0) == pytest.approx(expected, abs=1e-5)


def test_one_batch_may_be_a_tokenizers_output(classifier, batch):
    encoded = BatchEncoding(batch)
    classifier.compile(optimizer="sgd")
    before = classifier.test_on_batch(encoded, LABELS)
    classifier.train_on_batch(encoded, LABELS)
    assert classifier.test_on_batch(encoded, LABELS) < before
    np.testing.assert_allclose(classifier.predict_on_batch(encoded).logits, classifier(batch).logits, atol=1e-5)


def test_a_problem_type_set_later_counts(classifier, batch):
    several = np.array([[1, 0], [1, 1], [0, 0]])
    expected = tf.nn.sigmoid_cross_entropy_with_logits(several.astype(np.float32), classifier(batch).logits)
    classifier.config.problem_type = "multi_label_classification"
    np.testing.assert_allclose(classifier(batch, labels=several).loss, np.mean(expected, axis=1), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "labels", "message"),
    [
        ("TFBertForTokenClassification", (IDS % 2).T, r"a label for each token, \[batch, sequence\] \(3, 6\)"),
        ("TFBertForSequenceClassification", np.eye(2, dtype=int)[LABELS], "one label for each row.*argmax"),
        ("TFBertForSequenceClassification", np.eye(3), r"0 or 1 for each label, \(3, 2\)"),
    ],
)
def test_labels_of_another_shape_are_named(batch, name, labels, message):
    with pytest.raises(InvalidInput, match=message):
        getattr(flowformers, name)(still())(batch, labels=labels)


def test_an_id_outside_the_vocabulary_ends_a_fit_with_its_range(classifier):
    classifier.compile(optimizer="sgd")
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"input_ids from 0 to 39.*\[2\] \[to\] \[41\]"):
        classifier.fit(np.array([[2, 41, 3]]), np.array([1]), verbose=0)


ON_TWO = """
import sys
import keras, numpy as np, tensorflow as tf
import flowformers

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
batch = {"input_ids": np.array([[2, 5, 3], [2, 7, 3]]), "attention_mask": np.ones((2, 3), int)}
with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope() if sys.argv[2] == "two" else tf.device("CPU:0"):
    model = flowformers.TFBertForSequenceClassification.from_pretrained(sys.argv[1])
    model.compile(optimizer=keras.optimizers.SGD(0.1), metrics=["accuracy"])
data = tf.data.Dataset.from_tensor_slices((batch, np.array([0, 1]))).batch(2)
print(*model.fit(data, epochs=2, verbose=0).history["loss"])
"""


@pytest.mark.slow
def test_two_replicas_train_as_one(tmp_path):
    flowformers.TFBertForSequenceClassification(still(num_hidden_layers=1, initializer_range=0.2)).save_pretrained(
        tmp_path
    )
    runs = [
        subprocess.run([sys.executable, "-c", ON_TWO, tmp_path, devices], capture_output=True, text=True, check=True)
        for devices in ("one", "two")
    ]
    one, two = ([float(loss) for loss in run.stdout.split()] for run in runs)
    assert one[1] < one[0]
    assert two == pytest.approx(one, abs=1e-5)


def test_masked_words_are_left_out_of_the_loss():
    model = flowformers.TFBertForMaskedLM(still())
    labels = np.where(MASK == 1, IDS, -100)
    output = model(IDS, MASK, labels=labels)
    chance = tf.nn.log_softmax(output.logits).numpy()
    rows, columns = np.nonzero(MASK)
    expected = -chance[rows, columns, IDS[rows, columns]].mean()
    assert float(output.loss[0]) == pytest.approx(expected, abs=1e-5)
