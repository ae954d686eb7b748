"""Messages of TensorFlow Serving, beside whatever else of its protocol a process has already imported."""

from __future__ import annotations

import subprocess
import sys

import grpc
import numpy as np
import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from flowformers.errors import Kind, ServingError
from flowformers.wire import codes
from flowformers.wire.tensors import DTYPES, FILLED_BYTES, Arrays, Overfull, Room, TensorProto, to_array, to_proto

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


FLOATS, STRINGS = "dtype: DT_FLOAT tensor_shape { %s } %s", "dtype: DT_STRING tensor_shape { %s } %s"
PAIR, NONE = "dim { size: 2 }", "dim { size: 0 }"


@pytest.mark.parametrize(
    "text",
    [
        FLOATS % (PAIR, "float_val: [1, 2, 3]"),
        FLOATS % ("", "float_val: [1, 2, 3]"),
        FLOATS % (PAIR, f"float_val: {list(range(20))}"),
        FLOATS % (PAIR, ""),
        FLOATS % (PAIR, "int_val: 7"),
        FLOATS % ("dim { size: 3 } dim { size: 2 }", "float_val: [1, 2]"),
        FLOATS % (NONE, "float_val: [1, 2]"),
        FLOATS % (NONE, 'tensor_content: "odd"'),
        FLOATS % (PAIR, 'tensor_content: "1234"'),
        STRINGS % (PAIR, ""),
        STRINGS % (PAIR, 'string_val: ["a", "b", "c"]'),
        STRINGS % ("dim { size: 3 }", 'string_val: ["a", "b"]'),
        STRINGS % (NONE, 'string_val: "a"'),
        STRINGS % (PAIR, r'tensor_content: "\001\002abb"'),
        STRINGS % (PAIR, r'tensor_content: "\200\001\000%s"' % ("a" * 128)),
        STRINGS % (PAIR, r'tensor_content: "\001\002abb" string_val: "c"'),
        STRINGS % (PAIR, r'tensor_content: "\001\002abbb"'),
        STRINGS % (PAIR, r'tensor_content: "\001\002ab"'),
        STRINGS % (PAIR, r'tensor_content: "\001\377"'),
        STRINGS % (PAIR, r'tensor_content: "\377\377\377\377\377\377"'),
        "dtype: DT_COMPLEX64 tensor_shape { dim { size: 2 } } scomplex_val: [1, 2, 3]",
        "dtype: DT_COMPLEX64 tensor_shape { dim { size: 2 } } scomplex_val: 1",
        "dtype: DT_HALF tensor_shape { dim { size: 1 } } half_val: [15360, 2]",
        "dtype: DT_BFLOAT16 tensor_shape { dim { size: 2 } } half_val: 16256",
    ],
)
def test_a_message_is_the_tensor_that_tensorflow_reads(text):  # protocol 10
    import tensorflow as tf

    proto = text_format.Parse(text, TensorProto())
    try:
        expected = tf.io.parse_tensor(proto.SerializeToString(), tf.as_dtype(proto.dtype)).numpy()
    except tf.errors.InvalidArgumentError:
        with pytest.raises(ServingError, match=r"tensor parsing error: x: .* bytes of tensor_content"):
            to_array(proto, "x")
        return
    found = to_array(proto, "x")
    assert (found.dtype, found.shape, found.tolist()) == (expected.dtype, expected.shape, expected.tolist())


def repeated(dtype, size, **values):
    proto = TensorProto(dtype=dtype, **values)
    proto.tensor_shape.dim.add().size = size
    return proto


@pytest.mark.parametrize("count", [1, 2, 20])
def test_values_repeat_for_an_image_but_not_for_gigabytes(count):
    image = to_array(repeated(1, 3 * 2**20, float_val=[7] * count), "x")
    assert (image.shape, image.min(), image.max()) == ((3 * 2**20,), 7, 7)
    with pytest.raises(ServingError, match=f"{count} values for 1073741824 elements.*send every value"):
        to_array(repeated(1, 2**30, float_val=[7] * count), "x")


def test_a_long_string_repeats_for_no_gigabytes():
    assert to_array(repeated(7, 1000, string_val=[b"a" * 1000]), "x").tolist() == [b"a" * 1000] * 1000
    with pytest.raises(ServingError, match="send every value"):
        to_array(repeated(7, 2**20, string_val=[b"a" * 1000]), "x")
    with pytest.raises(ServingError, match="tensor_content"):
        to_array(repeated(7, 2**50, tensor_content=b"a"), "x")


@pytest.mark.parametrize("count", [1, 2])
def test_the_inputs_of_a_request_share_the_room_for_repeated_values(count):
    half = repeated(1, FILLED_BYTES // 8, float_val=[7] * count)
    arrays = Arrays({"a": half, "b": half, "c": half}, Room())
    assert arrays["a"].size == arrays["b"].size == FILLED_BYTES // 8
    with pytest.raises(Overfull, match=r"c: .*send every value"):
        arrays["c"]
