"""Messages of TensorFlow Serving, beside whatever else of its protocol a process has already imported."""

from __future__ import annotations

import subprocess
import sys

import grpc
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from flowformers.errors import Kind, ServingError
from flowformers.wire import codes
from flowformers.wire.tensors import DTYPES, TensorProto, to_array, to_proto

MODULES = (
    "classification", "get_model_metadata", "get_model_status", "inference", "input", "model", "predict", "regression",
)  # fmt: skip


def run(script):
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("first", ["tensorflow", "flowformers.wire.predict_pb2"])
def test_our_messages_and_tensorflows_stand_side_by_side_in_either_order(first):
    script = f"""
import {first}
import tensorflow as tf
from flowformers.wire import predict_pb2
request = predict_pb2.PredictRequest()
request.inputs["x"].CopyFrom(tf.make_tensor_proto([1.0, 2.0]))
again = predict_pb2.PredictRequest.FromString(request.SerializeToString())
print(tf.make_ndarray(again.inputs["x"]).tolist())
"""
    assert run(script) == "[1.0, 2.0]\n"


def test_messages_and_stubs_need_no_tensorflow():
    names = ", ".join(f"{name}_pb2" for name in MODULES)
    script = f"""
import sys
from flowformers.wire import {names}, prediction_service_pb2_grpc, model_service_pb2_grpc
print("tensorflow" in sys.modules)
"""
    assert run(script) == "False\n"


def test_every_kind_of_error_has_its_codes():
    for kind in Kind:
        assert grpc.StatusCode[kind.name].value[0] == codes.grpc_code(kind)
        assert 200 <= codes.http_status(kind) < 600
    expected = {"INVALID_ARGUMENT": 400, "NOT_FOUND": 404, "UNIMPLEMENTED": 501, "UNAVAILABLE": 503}
    assert {name: codes.http_status(Kind[name]) for name in expected} == expected


NUMERIC = [dtype for _, dtype, _ in DTYPES.values() if np.dtype(dtype).kind in "biufc" and np.dtype(dtype).itemsize > 1]
SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)


@given(st.sampled_from(NUMERIC).flatmap(lambda dtype: hnp.arrays(np.dtype(dtype), SHAPES)))
def test_any_array_passes_through_a_message(array):
    again = to_array(TensorProto.FromString(to_proto(array).SerializeToString()), "x")
    assert (again.dtype, again.shape) == (array.dtype, array.shape)
    assert again.tobytes() == array.tobytes() or np.array_equal(again, array, equal_nan=True)


@given(st.lists(st.binary(max_size=5), max_size=4))
def test_any_strings_pass_through_a_message(values):
    array = np.array([*values, b""], object)
    assert to_array(to_proto(array), "x").tolist() == array.tolist()


@given(st.binary(max_size=60))
def test_any_bytes_that_parse_as_a_tensor_are_an_array_or_an_error(content):
    try:
        proto = TensorProto.FromString(content)
    except Exception:  # not a message at all: gRPC refuses it before we see it
        return
    try:
        array = to_array(proto, "x")
    except ServingError as error:
        kind = error.kind
    else:
        kind = None
        assert list(array.shape) == [dim.size for dim in proto.tensor_shape.dim]
    assert kind in (None, Kind.INVALID_ARGUMENT)
