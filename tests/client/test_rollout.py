"""A model that is replaced while a client remembers what the old version declared."""

from __future__ import annotations

import grpc
import numpy as np
import pytest

from flowformers.client import Client, Retry
from flowformers.errors import InvalidInput, Kind, ServingError
from flowformers.wire import get_model_metadata_pb2, predict_pb2
from flowformers.wire.tensors import to_packed_proto
from tests.client.conftest import Awaited, grpc_script, http_script

TYPES = {"DT_FLOAT": 1, "DT_STRING": 7}
FAST = Retry(attempts=1, initial=0.01)


def signature(inputs, outputs):
    shape = {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False}
    return {
        side: {name: {"dtype": dtype, "tensor_shape": shape, "name": name} for name, dtype in tensors.items()}
        for side, tensors in (("inputs", inputs), ("outputs", outputs))
    }


def declares(outputs, inputs={"x": "DT_FLOAT"}, name="serving_default"):  # noqa: B006
    """The answer to a question for metadata."""
    definitions = {"signature_def": {name: signature(inputs, outputs)}}
    return 200, {}, {"model_spec": {"name": "m", "version": "1"}, "metadata": {"signature_def": definitions}}


def answers(content):
    return 200, {}, {"outputs": content}


def declares_in_grpc(outputs, inputs={"x": "DT_FLOAT"}, name="serving_default"):  # noqa: B006
    found = get_model_metadata_pb2.SignatureDefMap()
    for side, tensors in (("inputs", inputs), ("outputs", outputs)):
        for key, dtype in tensors.items():
            info = getattr(found.signature_def[name], side)[key]
            info.dtype = TYPES[dtype]
            info.tensor_shape.dim.add().size = -1
    reply = get_model_metadata_pb2.GetModelMetadataResponse()
    reply.metadata["signature_def"].Pack(found)
    return reply


def answers_in_grpc(**outputs):
    return predict_pb2.PredictResponse(outputs={name: to_packed_proto(array) for name, array in outputs.items()})


PROTOCOLS = {
    "http": (declares, lambda name: answers([0.5]), http_script),
    "grpc": (declares_in_grpc, lambda name: answers_in_grpc(**{name: np.float32([0.5])}), grpc_script),
}


@pytest.fixture(params=[Client, Awaited])
def client_of(request):
    return lambda port, protocol="http": request.param(f"{protocol}://127.0.0.1:{port}", model="m", retry=FAST)


@pytest.mark.parametrize(
    ("old", "new", "content"),
    [
        ("DT_INT32", "DT_FLOAT", [1.5, -2.25]),
        ("DT_INT32", "DT_FLOAT", [1.0, 2.0]),
        ("DT_INT32", "DT_INT64", [2**40]),
        ("DT_INT32", "DT_BOOL", [True, False]),
        ("DT_INT32", "DT_STRING", ["1", "2"]),
        ("DT_BOOL", "DT_INT32", [0, 2]),
        ("DT_STRING", "DT_FLOAT", [1.5]),
        ("DT_FLOAT", "DT_INT64", [2**53 + 1]),
        ("DT_FLOAT", "DT_DOUBLE", [1e300]),
        ("DT_FLOAT", "DT_STRING", ["nan"]),
        ("DT_INT64", "DT_UINT64", [1, 2**64 - 1]),
    ],
)
def test_an_output_of_another_dtype_is_never_misread(client_of, old, new, content):
    first = {"DT_STRING": "a", "DT_BOOL": True}.get(old, 1)
    script = declares({"y": old}), answers([first]), answers(content), declares({"y": new}), answers(content)
    with http_script(*script) as (port, _), client_of(port) as client:
        client.predict([1.0])
        assert client.predict([1.0])["y"].tolist() == content


@pytest.mark.parametrize(
    ("old", "old_content", "new", "content"),
    [
        ({"y": "DT_FLOAT"}, [1.0], {"y": "DT_FLOAT", "z": "DT_FLOAT"}, {"y": [1.0], "z": [2.0]}),
        ({"y": "DT_FLOAT", "z": "DT_FLOAT"}, {"y": [1.0], "z": [2.0]}, {"y": "DT_FLOAT"}, [1.0]),
        (
            {"y": "DT_FLOAT", "z": "DT_FLOAT"},
            {"y": [1.0], "z": [2.0]},
            {"y": "DT_FLOAT", "z": "DT_FLOAT", "a": "DT_FLOAT"},
            {"y": [1.0], "z": [2.0], "a": [3.0]},
        ),
    ],
)
def test_outputs_that_come_and_go_are_those_of_the_answer(client_of, old, old_content, new, content):
    script = declares(old), answers(old_content), answers(content), declares(new), answers(content)
    with http_script(*script) as (port, _), client_of(port) as client:
        client.predict([1.0])
        assert set(client.predict([1.0])) == set(new)


def test_an_answer_that_no_metadata_explains_is_named_after_one_look(client_of):
    script = declares({"y": "DT_INT32"}), answers([1]), answers([1.5]), declares({"y": "DT_INT32"})
    with http_script(*script) as (port, seen), client_of(port) as client:
        client.predict([1.0])
        with pytest.raises(
            ServingError, match=r"y: expected int32 \[\?\]; got \[1.5\]: float64 is not int32"
        ) as caught:
            client.predict([1.0])
    assert caught.value.kind is Kind.UNKNOWN
    assert len(seen.seen) == 4


@pytest.mark.parametrize(
    ("new", "options"),
    [
        ({"inputs": {"ids": "DT_FLOAT"}}, {"inputs": {"ids": [1.0]}}),
        ({"inputs": {"x": "DT_STRING"}}, {"inputs": ["text"]}),
        ({"name": "text"}, {"inputs": [1.0], "signature": "text"}),
        ({"outputs": {"label": "DT_FLOAT"}}, {"inputs": [1.0], "outputs": ["label"]}),
    ],
)
@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_what_old_metadata_refuses_is_looked_up_anew(client_of, protocol, new, options):
    declared = {"outputs": {"y": "DT_FLOAT"}} | new
    output = next(iter(declared["outputs"]))
    told, answered, serve = PROTOCOLS[protocol]
    script = told({"y": "DT_FLOAT"}), answered("y"), told(**declared), answered(output)
    with serve(*script) as (port, _), client_of(port, protocol) as client:
        client.predict([1.0])
        assert list(client.predict(**options)) == [output]


def test_a_dtype_without_a_json_form_is_looked_up_anew(client_of):
    half, single = ({"x": dtype} for dtype in ("DT_HALF", "DT_FLOAT"))
    script = declares({"y": "DT_FLOAT"}, half), declares({"y": "DT_FLOAT"}, single), answers([0.5])
    with http_script(*script) as (port, _), client_of(port) as client:
        client.metadata()
        assert client.predict([1.0])["y"] == 0.5


def test_what_is_wrong_by_new_metadata_too_is_refused_without_being_sent(client_of):
    told = declares({"y": "DT_FLOAT"})
    with http_script(told, told) as (port, script), client_of(port) as client:
        client.metadata()
        with pytest.raises(InvalidInput, match="x: expected float32"):
            client.predict(["text"])
    assert len(script.seen) == 2


def test_what_the_server_refuses_by_new_metadata_is_sent_as_that_declares(client_of):
    old, new = ({"x": dtype} for dtype in ("DT_FLOAT", "DT_INT32"))
    refusal = 400, {}, {"error": "x is not of expected type: int32"}
    script = declares({"y": "DT_FLOAT"}, old), refusal, declares({"y": "DT_FLOAT"}, new), answers([0.5])
    with http_script(*script) as (port, seen), client_of(port) as client:
        client.metadata()
        assert client.predict([1])["y"] == 0.5
    assert b'"x":[1]' in seen.seen[-1][2]


def test_the_servers_own_refusal_stands_where_its_metadata_can_not_be_had(client_of):
    script = declares({"y": "DT_FLOAT"}), (400, {}, {"error": "no"}), (503, {}, {"error": "busy"})
    with http_script(*script) as (port, _), client_of(port) as client:
        client.metadata()
        with pytest.raises(ServingError, match="no") as caught:
            client.predict([1.0])
        assert caught.value.kind is Kind.INVALID_ARGUMENT
        with pytest.raises(ServingError, match="busy"):  # nothing old is remembered
            client.predict([1.0])


def test_a_refusal_by_old_metadata_does_not_stand_where_new_can_not_be_had(client_of):
    script = declares({"y": "DT_FLOAT"}), (503, {}, {"error": "busy"})
    with http_script(*script) as (port, _), client_of(port) as client:
        client.metadata()
        with pytest.raises(ServingError, match="busy"):
            client.predict(["text"])


def test_grpc_gives_every_output_that_came(client_of):
    told, one = declares_in_grpc({"y": "DT_FLOAT"}), np.float32([1])
    with grpc_script(told, answers_in_grpc(y=one, a=one)) as (port, _), client_of(port, "grpc") as client:
        assert list(client.predict([1.0])) == ["y", "a"]


def test_an_output_that_grpc_does_not_bring_is_missed_by_name(client_of):
    told, one = declares_in_grpc({"y": "DT_FLOAT", "z": "DT_FLOAT"}), np.float32([1])
    with (
        grpc_script(told, answers_in_grpc(y=one), told) as (port, _),
        client_of(port, "grpc") as client,
        pytest.raises(ServingError, match="expected the outputs z; got y"),
    ):
        client.predict([1.0], outputs=["z"])


@pytest.mark.parametrize("code", [grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.INVALID_ARGUMENT])
def test_an_error_is_not_asked_twice_where_the_model_is_the_same(client_of, code):
    told = declares_in_grpc({"y": "DT_FLOAT"})
    with grpc_script(told, (code, "no", ()), told) as (port, script), client_of(port, "grpc") as client:
        client.metadata()
        with pytest.raises(ServingError, match="no"):
            client.predict([1.0])
    assert len(script.seen) == 3
