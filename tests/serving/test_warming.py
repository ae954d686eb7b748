"""Warm-up requests are run before a version is served. "protocol N" is a section of docs/protocol.md."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from flowformers.errors import Kind, ServingError
from flowformers.serving import Settings, metrics
from flowformers.serving.servable import WARMUP, Servable
from flowformers.wire.prediction_log_pb2 import PredictionLog


class Counting(tf.Module):
    """Answers with how often it was asked."""

    def __init__(self):
        self.asked = tf.Variable(0)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def count(self, x):
        return {"asked": tf.fill([tf.shape(x)[0]], self.asked.assign_add(1))}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
    def classify(self, inputs):
        asked = tf.cast(self.asked.assign_add(1), tf.float32)
        return {"scores": tf.fill([tf.shape(inputs)[0], 1], asked)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
    def regress(self, inputs):
        return {"outputs": tf.fill([tf.shape(inputs)[0]], tf.cast(self.asked.assign_add(1), tf.float32))}


@pytest.fixture
def folder(tmp_path):
    model = Counting()
    signatures = {"serving_default": model.count, "classify": model.classify, "regress": model.regress}
    tf.saved_model.save(model, str(tmp_path / "7"), signatures=signatures)
    return tmp_path / "7"


def write(folder, *records):
    (folder / WARMUP).parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(folder / WARMUP)) as writer:
        for record in records:
            writer.write(record if isinstance(record, bytes) else record.SerializeToString())


def predict(signature="", value=1.0):
    record = PredictionLog()
    record.predict_log.request.model_spec.signature_name = signature
    record.predict_log.request.model_spec.name = "another"
    record.predict_log.request.inputs["x"].CopyFrom(tf.make_tensor_proto([value]))
    return record


def examples(kind, signature):
    record = PredictionLog()
    request = getattr(record, kind).request
    request.model_spec.signature_name = signature
    request.input.example_list.examples.add()
    return record


def several():
    record = PredictionLog()
    request = record.multi_inference_log.request
    request.tasks.add(method_name="tensorflow/serving/regress").model_spec.signature_name = "regress"
    request.input.example_list.examples.add()
    return record


def asked(servable):
    signature = servable.signature("serving_default")
    return int(servable.run(signature, {"x": np.ones(1, np.float32)}, ["asked"])["asked"][0]) - 1


def test_every_kind_of_record_is_run_and_empty_ones_are_skipped(folder):  # protocol 16
    write(folder, predict(), PredictionLog(), examples("classify_log", "classify"), examples("regress_log", "regress"))
    servable = Servable(folder, 7, Settings())
    assert servable.warm_up() == 3
    assert asked(servable) == 3
    name = ":tensorflow:serving:model_warmup_records_read_total"
    assert metrics.SERVINGS.get_sample_value(name, {"model_path": str(folder), "status": "success"}) == 3


def test_a_multi_inference_record_is_run(folder):  # protocol 16
    write(folder, several())
    assert Servable(folder, 7, Settings()).warm_up() == 1


def test_records_may_be_repeated(folder):  # protocol 16
    write(folder, predict())
    servable = Servable(folder, 7, Settings())
    assert servable.warm_up(4) == 1
    assert asked(servable) == 4


def test_warm_up_goes_through_batching_too(folder):  # protocol 16
    write(folder, predict())
    assert Servable(folder, 7, Settings(enable_batching=True)).warm_up() == 1


def test_a_record_may_leave_out_what_has_a_default(folder):  # protocol 10, 16
    path = folder / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    saved.meta_graphs[0].signature_def["serving_default"].defaults["x"].CopyFrom(tf.make_tensor_proto([1.0]))
    path.write_bytes(saved.SerializeToString())
    record = predict()
    record.predict_log.request.ClearField("inputs")
    write(folder, record)
    servable = Servable(folder, 7, Settings())
    assert servable.warm_up() == 1
    assert asked(servable) == 1


def test_a_version_without_requests_needs_none(folder):  # protocol 16
    assert Servable(folder, 7, Settings()).warm_up() == 0


def session_run():
    record = PredictionLog()
    record.session_run_log.SetInParent()
    return record


@pytest.mark.parametrize(
    ("records", "kind"),
    [
        ([predict(signature="nope")], Kind.INVALID_ARGUMENT),
        ([predict(value=1)], Kind.INVALID_ARGUMENT),
        ([session_run()], Kind.DATA_LOSS),
        ([b"\xff\xff no message"], Kind.DATA_LOSS),
        ([predict()] * 1001, Kind.INVALID_ARGUMENT),
    ],
)
def test_a_record_that_fails_fails_the_load(folder, records, kind):  # protocol 16
    write(folder, *records)
    with pytest.raises(ServingError) as caught:
        Servable(folder, 7, Settings()).warm_up()
    assert caught.value.kind is kind


def test_a_broken_file_fails_the_load(folder):  # protocol 16
    write(folder, predict())
    (folder / WARMUP).write_bytes((folder / WARMUP).read_bytes()[:-3] + b"abc")
    with pytest.raises(ServingError, match="can't be read"):
        Servable(folder, 7, Settings()).warm_up()
