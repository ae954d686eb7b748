"""gRPC as TensorFlow Serving speaks it. "protocol N" is a section of docs/protocol.md."""

from __future__ import annotations

import grpc
import numpy as np
import pytest
import tensorflow as tf

from flowformers.wire import get_model_metadata_pb2, get_model_status_pb2, model_pb2, predict_pb2


def request(name="math", signature="", version=None, **inputs):
    made = predict_pb2.PredictRequest()
    made.model_spec.name, made.model_spec.signature_name = name, signature
    if version is not None:
        made.model_spec.version.value = version
    for key, value in inputs.items():
        made.inputs[key].CopyFrom(tf.make_tensor_proto(value))
    return made


def refusal(call, *args):
    with pytest.raises(grpc.RpcError) as caught:
        call(*args)
    return caught.value.code().name, caught.value.details()


def test_predict_answers_in_typed_fields_with_the_version(arithmetic):  # protocol 10
    answer = arithmetic.predict(request(x=np.float32([1, 3])))
    assert list(answer.outputs["y"].float_val) == [0.5, 1.5]
    assert answer.outputs["y"].tensor_content == b""
    spec = model_pb2.ModelSpec(name="math", signature_name="serving_default")
    spec.version.value = 3
    assert answer.model_spec == spec


def test_strings_and_integers_pass(arithmetic):  # protocol 10
    answer = arithmetic.predict(request(signature="pair", a=np.int32([[1, 2]]), b=[b"\xff\x00"]))
    assert list(answer.outputs["b_bytes"].string_val) == [b"\xff\x00"]
    assert list(answer.outputs["sum"].int_val) == [3]


def test_the_model_answers_over_the_wire_as_it_does_in_python(bert, batch):
    client, model = bert
    answer = client.predict(request("bert", **{name: value.astype(np.int32) for name, value in batch.items()}))
    np.testing.assert_allclose(tf.make_ndarray(answer.outputs["logits"]), model(batch).logits, atol=1e-6)


def test_the_wide_signature_takes_int64(bert, batch):
    client, model = bert
    wide = {name: value.astype(np.int64) for name, value in batch.items()}
    answer = client.predict(request("bert", "int64_serving", **wide))
    np.testing.assert_allclose(tf.make_ndarray(answer.outputs["logits"]), model(batch).logits, atol=1e-6)


def test_an_output_filter_picks_outputs(arithmetic):  # protocol 10
    made = request(signature="pair", a=np.int32([[1, 2]]), b=["x"])
    made.output_filter.append("scalar")
    assert list(arithmetic.predict(made).outputs) == ["scalar"]
    made.output_filter.append("scalar")
    assert refusal(arithmetic.predict, made) == ("INVALID_ARGUMENT", "duplicate output tensor alias: scalar")
    made.output_filter[1] = "nope"
    assert "output tensor alias not found in signature" in refusal(arithmetic.predict, made)[1]


@pytest.mark.parametrize(
    ("made", "code", "fragment"),
    [
        (predict_pb2.PredictRequest(), "INVALID_ARGUMENT", "Missing ModelSpec"),
        (request("", x=1.0), "INVALID_ARGUMENT", "ModelSpec has no name specified"),
        (request("nope", x=1.0), "NOT_FOUND", "Servable not found for request: Latest(nope)"),
        (request(version=0, x=1.0), "NOT_FOUND", "Servable not found for request: Specific(math, 0)"),
        (request(signature="nope", x=1.0), "FAILED_PRECONDITION", 'Serving signature key "nope" not found'),
        (request(), "INVALID_ARGUMENT", "input size does not match signature: 0!=1"),
        (request(z=1.0), "INVALID_ARGUMENT", "Signature input alias: x(feed name: "),
        (request(x=1.0, z=1.0), "INVALID_ARGUMENT", "Sent extra: {z}"),
        (request(x=np.int32([1])), "INVALID_ARGUMENT", "float32"),
    ],
)  # fmt: skip
def test_a_mistake_has_its_code_and_says_what_it_is(arithmetic, made, code, fragment):  # protocol 11
    found, details = refusal(arithmetic.predict, made)
    assert (found, fragment in details) == (code, True), details


@pytest.mark.parametrize(("name", "fragment"), [("math", "Sent extra: {z}"), ("nope", "Servable not found")])
def test_names_are_checked_before_a_tensor_is_read(arithmetic, name, fragment):  # protocol 11
    made = request(name, x=1.0, z=1.0)
    for tensor in made.inputs.values():
        tensor.tensor_shape.dim.add(size=-5)
    assert fragment in refusal(arithmetic.predict, made)[1]


def test_a_text_is_cut_by_its_bytes(arithmetic):  # protocol 11
    """Three for each of them in its header, and clients take 8 KiB of headers."""
    code, details = refusal(arithmetic.predict, request("\u754c" * 2000))
    assert (code, details[-12:]) == ("NOT_FOUND", "...TRUNCATED")
    assert 1000 < len(details.encode()) < 1040


def test_a_tensor_that_does_not_decode_is_an_error(arithmetic):  # protocol 11
    made = request(x=np.float32([1, 2]))
    made.inputs["x"].tensor_shape.dim[0].size = -5
    assert refusal(arithmetic.predict, made) == (
        "INVALID_ARGUMENT",
        "tensor parsing error: x: shape [-5] is not fully known",
    )
    made.inputs["x"].tensor_shape.dim[0].size = 2**62
    assert refusal(arithmetic.predict, made)[0] == "INVALID_ARGUMENT"


def test_too_few_values_repeat_the_last(arithmetic):  # protocol 10
    made = request(x=np.float32([1, 2, 3]))
    made.inputs["x"].tensor_content = b""
    made.inputs["x"].float_val[:] = [8]
    assert list(arithmetic.predict(made).outputs["y"].float_val) == [4, 4, 4]


def test_metadata_is_a_signature_def_map(arithmetic):  # protocol 10
    answer = arithmetic.metadata("math", "signature_def")
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert answer.metadata["signature_def"].Unpack(signatures)
    assert signatures.signature_def["serving_default"].inputs["x"].dtype == 1
    assert answer.model_spec.version.value == 3


def test_metadata_needs_a_known_field(arithmetic):  # protocol 11
    assert "at least one metadata_field" in refusal(arithmetic.metadata, "math")[1]
    assert "is not supported" in refusal(arithmetic.metadata, "math", "other")[1]


def test_status_tells_every_version(arithmetic):  # protocol 10
    asked = get_model_status_pb2.GetModelStatusRequest()
    asked.model_spec.name = "math"
    (status,) = arithmetic.model_status(asked).model_version_status
    assert (status.version, status.state, status.status.error_code) == (3, 30, 0)
    asked.model_spec.name = "nope"
    assert refusal(arithmetic.model_status, asked)[0] == "NOT_FOUND"


def test_a_deadline_is_kept(arithmetic):  # protocol 10
    made = request(signature="slow", x=np.float64([1]))
    with pytest.raises(grpc.RpcError) as caught:
        arithmetic.predict(made, timeout=0.2)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_answers_above_four_megabytes_leave_the_server(arithmetic):  # protocol 10
    many = np.zeros(2_000_000, np.float32)
    with grpc.insecure_channel(
        f"127.0.0.1:{arithmetic.grpc_port}", options=[("grpc.max_receive_message_length", -1)]
    ) as channel:
        from flowformers.wire import prediction_service_pb2_grpc

        answer = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request(x=many), timeout=30)
    assert len(answer.outputs["y"].float_val) == many.size
