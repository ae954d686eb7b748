"""Warm-up records of every kind become requests; what can't be run is said (TF Serving protocol, section 16)."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from flowformers.errors import ServingError
from flowformers.serving.warmup import LIMIT, read_requests
from flowformers.wire import (
    classification_pb2,
    inference_pb2,
    input_pb2,
    model_pb2,
    predict_pb2,
    prediction_log_pb2,
    regression_pb2,
)


def example(**numbers):
    made = {name: tf.train.Feature(int64_list=tf.train.Int64List(value=[value])) for name, value in numbers.items()}
    return tf.train.Example(features=tf.train.Features(feature=made))


def spec(name):
    return model_pb2.ModelSpec(name="any", signature_name=name)


def log(kind, **fields):
    return prediction_log_pb2.PredictionLog(**{kind: fields})


PLAIN = input_pb2.Input(example_list=input_pb2.ExampleList(examples=[example(a=1), example(a=2)]))
CONTEXT = input_pb2.Input(
    example_list_with_context=input_pb2.ExampleListWithContext(examples=[example(a=1)], context=example(a=7, b=8))
)
TASKS = [inference_pb2.InferenceTask(model_spec=spec(name)) for name in ("one", "two")]
EMPTY = prediction_log_pb2.PredictionLog()


@pytest.fixture
def read(tmp_path):
    def written(*logs):
        path = tmp_path / "tf_serving_warmup_requests"
        with tf.io.TFRecordWriter(str(path)) as writer:
            for record in logs:
                writer.write(record.SerializeToString())
        return list(read_requests(path))

    return written


def features(inputs):
    parsed = [tf.train.Example.FromString(content).features.feature for content in inputs["inputs"]]
    return [{name: value.int64_list.value[0] for name, value in one.items()} for one in parsed]


def test_predict_classify_regress_and_multi_inference_are_read(read):
    tensors = {"x": tf.make_tensor_proto(np.array([1.5], np.float32))}
    predict = predict_pb2.PredictRequest(model_spec=spec(""), inputs=tensors)
    classify = classification_pb2.ClassificationRequest(model_spec=spec("classes"), input=PLAIN)
    regress = regression_pb2.RegressionRequest(model_spec=spec("number"), input=CONTEXT)
    both = inference_pb2.MultiInferenceRequest(tasks=TASKS, input=PLAIN)
    found = read(
        log("predict_log", request=predict),
        log("classify_log", request=classify),
        EMPTY,
        log("regress_log", request=regress),
        log("multi_inference_log", request=both),
    )
    assert [name for name, _ in found] == ["serving_default", "classes", "number", "one", "two"]
    assert found[0][1]["x"].tolist() == [1.5]
    assert features(found[1][1]) == features(found[3][1]) == features(found[4][1]) == [{"a": 1}, {"a": 2}]
    assert features(found[2][1]) == [{"a": 1, "b": 8}]


@pytest.mark.parametrize("kind", ["session_run_log", "predict_streamed_log"])
def test_a_kind_that_cannot_be_run_is_an_error(read, kind):
    with pytest.raises(ServingError, match=kind):
        read(log(kind))


def test_more_records_than_the_limit_are_an_error(read):
    with pytest.raises(ServingError, match=str(LIMIT)):
        read(*[EMPTY] * (LIMIT + 1))


def test_a_broken_file_is_an_error(tmp_path):
    (tmp_path / "broken").write_bytes(b"no TFRecord at all")
    with pytest.raises(ServingError, match="can't be read"):
        list(read_requests(tmp_path / "broken"))
    with tf.io.TFRecordWriter(str(tmp_path / "record")) as writer:
        writer.write(b"\xff\xff")
    with pytest.raises(ServingError, match="can't be read"):
        list(read_requests(tmp_path / "record"))
