"""Which requests the event loop answers itself, and that no run outlives its time limit for that.

An answer of the event loop has waited in no queue, which its Server-Timing tells.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from flowformers.errors import Kind, ServingError
from flowformers.serving import Settings
from flowformers.serving.dataplane import Dataplane, Limits, Target
from flowformers.serving.repository import Repository
from flowformers.serving.rows import bounded, size_of
from flowformers.serving.servable import Signature
from flowformers.wire import prediction_service_pb2_grpc
from tests.serving.conftest import Client, serve
from tests.serving.test_grpc import request
from tests.serving.test_process import wait_for

PREDICT = "/v1/models/m:predict"
TRIES = 300  # until a signature is known to be short, on a machine that has much else to do


TOKENS = [tf.TensorSpec([None, None], tf.int32, name=name) for name in ("input_ids", "attention_mask")]


class Encoder(tf.Module):
    """Inputs as an encoder's; as much work as it is told."""

    def __init__(self, products=0):
        self.products = products

    @tf.function(input_signature=TOKENS)
    def encode(self, input_ids, attention_mask):
        kept = input_ids * attention_mask
        square = tf.fill([400, 400], tf.cast(tf.reduce_sum(kept), tf.float32))
        for _ in range(self.products):
            square = tf.tanh(square @ square)
        return {"sum": tf.reduce_sum(kept, -1) + tf.cast(square[0, 0] > 1e9, tf.int32)}


class Texts(tf.Module):
    """The bytes of a text, and a text that is a size."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def count(self, text):
        return {"bytes": tf.reduce_sum(tf.cast(tf.io.decode_raw(text, tf.uint8, fixed_length=8), tf.int32), -1)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def square(self, text):
        return {"sum": tf.reduce_sum(tf.ones([tf.strings.to_number(text[0], tf.int32)] * 2))}


class Square(tf.Module):
    """An input that is a size."""

    @tf.function(input_signature=[tf.TensorSpec([], tf.int32, name="size")])
    def square(self, size):
        ones = tf.ones([size, size])
        return {"sum": tf.reduce_sum(ones @ ones)}


def save(folder, model, function):
    tf.saved_model.save(model, str(folder), signatures=function)
    return folder


def tokens(*rows):
    return {"inputs": {"input_ids": [[2] * n for n in rows], "attention_mask": [[1] * n for n in rows]}}


def on_loop(timing):
    return timing.startswith("queue;dur=0.000,")


def answered_on_loop(client, body):
    answer = client.http(PREDICT, body)
    assert answer.status == 200, answer.body
    return on_loop(answer.headers["Server-Timing"])


@pytest.fixture
def encoder(tmp_path):
    """(client, folder of versions) of an encoder that is known to be short for rows up to 9 tokens."""
    model = Encoder()
    save(tmp_path / "m" / "1", model, model.encode)
    with serve(tmp_path / "m", model_name="m", file_system_poll_wait_seconds=0.1) as server:
        client = Client(server.rest_port, server.grpc_port)
        assert any(answered_on_loop(client, tokens(9)) for _ in range(TRIES))
        yield client, tmp_path / "m"


def test_the_event_loop_answers_what_is_no_more_work_than_was_short(encoder):
    client, _ = encoder
    assert any(answered_on_loop(client, tokens(4)) for _ in range(20))
    assert not answered_on_loop(client, tokens(10))
    assert not answered_on_loop(client, tokens(*[1] * 40))


def test_one_value_that_stands_for_many_is_as_much_work_as_many(encoder):  # protocol 10
    client, _ = encoder
    made = request("m", input_ids=np.int32([[1]]), attention_mask=np.int32([[1]]))
    for tensor in made.inputs.values():
        tensor.tensor_content = b""
        tensor.int_val[:] = [1]
        tensor.tensor_shape.dim[1].size = 1000
    with client.channel() as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        answer, call = stub.Predict.with_call(made, timeout=30)
    assert list(answer.outputs["sum"].int_val) == [1000]
    assert not on_loop(dict(call.trailing_metadata())["server-timing"])


def test_a_new_version_has_to_show_that_it_is_short(encoder):  # protocol 14
    client, base = encoder
    model = Encoder(products=1)
    save(base.parent / "fresh", model, model.encode).rename(base / "2")
    wait_for(lambda: b"AVAILABLE" in client.http("/v1/models/m/versions/2").body)
    assert not answered_on_loop(client, tokens(9))


def test_the_event_loop_answers_nothing_whose_values_may_be_sizes(tmp_path):
    model = Square()
    save(tmp_path / "m" / "1", model, model.square)
    with serve(tmp_path / "m", model_name="m") as server:
        client = Client(server.rest_port, server.grpc_port)
        assert not any(answered_on_loop(client, {"inputs": 2}) for _ in range(60))


def test_texts_are_bounded_where_no_op_reads_a_number_out_of_them(tmp_path):
    model = Texts()
    tf.saved_model.save(model, str(tmp_path), signatures={"count": model.count, "square": model.square})
    assert bounded(meta(tmp_path)) == {"count"}


def meta(folder: Path):
    return saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes()).meta_graphs[0]


def test_rows_of_different_shapes_are_no_rows():
    assert size_of([np.zeros((1, 5)), np.zeros((5, 1))]) is None
    assert size_of([np.zeros(5), np.zeros(5)]) is None
    assert size_of([np.zeros((2, 5)), np.zeros((2, 5))]) == (14, 98)
    assert size_of([np.array([b"abc", b""], object)]) == (10, 50)


def test_a_run_ends_at_its_time_limit_from_the_first_on(tmp_path):  # protocol 3
    model = Encoder(products=60)
    save(tmp_path / "m" / "1", model, model.encode)
    with serve(tmp_path / "m", model_name="m", rest_api_timeout_in_ms=20) as server:
        client = Client(server.rest_port, server.grpc_port)
        assert [client.http(PREDICT, tokens(2)).status for _ in range(2)] == [504, 504]


class Late:
    """A version whose runs do not heed their time limit."""

    def __init__(self, folder, version, settings):
        self.version = version

    def signature(self, name):
        return Signature(name, {}, {}, {}, "", {})

    def run(self, *_, **__):
        time.sleep(0.05)
        return {}

    def warm_up(self, repeats):
        return 0

    def close(self):
        pass


def test_an_answer_that_comes_after_its_time_is_none(tmp_path):  # protocol 11
    (tmp_path / "1").mkdir()
    repository = Repository(Settings(model_base_path=tmp_path, model_name="m"), load=Late)
    repository.start()
    try:
        with pytest.raises(ServingError) as caught:
            Dataplane(repository).predict(Target("m"), "any", {}, limits=Limits(time.monotonic() + 0.01))
        assert caught.value.kind is Kind.DEADLINE_EXCEEDED
    finally:
        repository.close()
