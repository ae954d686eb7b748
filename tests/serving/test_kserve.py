"""The Open Inference Protocol ("KServe v2") over REST and gRPC, as its public specification has it."""

from __future__ import annotations

import json
import time

import grpc
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from flowformers.errors import ServingError
from flowformers.wire import open_inference
from flowformers.wire.open_inference import DATATYPES, MESSAGES, SERVICE
from flowformers.wire.stubs import stub_class
from tests.serving.conftest import Client, serve

HALF = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [2], "data": [1, 3]}]}
PAIR = {
    "parameters": {"signature_name": "pair"},
    "inputs": [
        {"name": "a", "datatype": "INT32", "shape": [2, 2], "data": [[1, 2], [3, 4]]},
        {"name": "b", "datatype": "BYTES", "shape": [2], "data": ["x", "é"]},
    ],
}


@pytest.fixture
def ask(arithmetic):
    """ask(RPC, request message) -> response message."""
    with arithmetic.channel() as channel:
        stub = stub_class(SERVICE)(channel)
        yield lambda name, request: getattr(stub, name)(request, timeout=30)


def message(signature="", model="math", version="", **tensors):
    """A ModelInferRequest with typed contents; tensors: name=(datatype, array)."""
    request = MESSAGES["ModelInferRequest"](model_name=model, model_version=version, id="7")
    if signature:
        request.parameters["signature_name"].string_param = signature
    for name, (kind, array) in tensors.items():
        one = request.inputs.add(name=name, datatype=kind, shape=array.shape)
        getattr(one.contents, DATATYPES[kind][1]).extend(array.reshape(-1).tolist())
    return request


def refused(ask, name, request):
    with pytest.raises(grpc.RpcError) as caught:
        ask(name, request)
    return caught.value.code().name, caught.value.details()


def test_the_server_tells_what_it_is(arithmetic, ask):
    status, about = arithmetic.json("/v2")
    assert (status, about["name"], about["extensions"]) == (200, "flowformers", ["binary_tensor_data"])
    assert ask("ServerMetadata", MESSAGES["ServerMetadataRequest"]()).name == "flowformers"


def test_health(arithmetic, ask):
    assert arithmetic.json("/v2/health/live") == (200, {"live": True})
    assert arithmetic.json("/v2/health/ready") == (200, {"ready": True})
    assert arithmetic.json("/v2/models/math/ready") == (200, {"name": "math", "ready": True})
    assert arithmetic.json("/v2/models/math/versions/3/ready")[0] == 200
    assert ask("ServerLive", MESSAGES["ServerLiveRequest"]()).live
    assert ask("ServerReady", MESSAGES["ServerReadyRequest"]()).ready
    assert ask("ModelReady", MESSAGES["ModelReadyRequest"](name="math", version="3")).ready
    assert not ask("ModelReady", MESSAGES["ModelReadyRequest"](name="nope")).ready


def test_metadata_has_the_default_signature(arithmetic, ask):
    status, about = arithmetic.json("/v2/models/math")
    assert status == 200
    assert about == {
        "name": "math",
        "versions": ["3"],
        "platform": "tensorflow_savedmodel",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1]}],
    }
    found = ask("ModelMetadata", MESSAGES["ModelMetadataRequest"](name="math"))
    assert (list(found.versions), found.inputs[0].datatype, list(found.inputs[0].shape)) == (["3"], "FP32", [-1])


class Rare(tf.Module):
    """Tensors that JSON has no form for."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.bfloat16, name="x")])
    def half(self, x):
        return {"y": x / 2}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.complex64, name="x")])
    def turned(self, x):
        return {"y": tf.cast(x, tf.complex128) * 1j}


@pytest.fixture(scope="module")
def rare(tmp_path_factory):
    """A client of Rare's signatures as a model each, "half" and "turned"."""
    folder, model = tmp_path_factory.mktemp("rare"), Rare()
    configs = ""
    for name in ("half", "turned"):
        tf.saved_model.save(model, str(folder / name / "1"), signatures=getattr(model, name))
        configs += f'config {{ name: "{name}" base_path: "{folder / name}" model_platform: "tensorflow" }}'
    (folder / "models").write_text(f"model_config_list {{ {configs} }}")
    with serve(None, model_config_file=folder / "models") as server:
        yield Client(server.rest_port, server.grpc_port)


@pytest.mark.parametrize(
    ("model", "kinds"), [("half", ("BF16", "BF16")), ("turned", ("DT_COMPLEX64", "DT_COMPLEX128"))]
)
def test_metadata_names_every_type(rare, model, kinds):
    status, about = rare.json(f"/v2/models/{model}")
    assert status == 200
    assert (about["inputs"][0]["datatype"], about["outputs"][0]["datatype"]) == kinds
    with rare.channel() as channel:
        found = stub_class(SERVICE)(channel).ModelMetadata(MESSAGES["ModelMetadataRequest"](name=model), timeout=30)
    assert found.inputs[0].datatype == kinds[0]


def test_bfloat16_travels_as_bytes(rare):
    raw = np.array([1, 3], tf.bfloat16.as_numpy_dtype).tobytes()
    asked = MESSAGES["ModelInferRequest"](model_name="half", raw_input_contents=[raw])
    asked.inputs.add(name="x", datatype="BF16", shape=[2])
    with rare.channel() as channel:
        answer = stub_class(SERVICE)(channel).ModelInfer(asked, timeout=30)
    assert answer.outputs[0].datatype == "BF16"
    assert np.frombuffer(answer.raw_output_contents[0], tf.bfloat16.as_numpy_dtype).tolist() == [0.5, 1.5]
    one = {"name": "x", "datatype": "BF16", "shape": [2]}
    refused = rare.json("/v2/models/half/infer", {"inputs": [one | {"data": [1, 3]}]})
    assert refused == (400, {"error": "input 'x': BF16 has no JSON form; send its bytes behind the JSON"})
    text = json.dumps({"inputs": [one | {"parameters": {"binary_data_size": 4}}]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(text))}
    assert rare.json("/v2/models/half/infer", text + raw, headers) == (
        400,
        {"error": "output 'y': BF16 has no JSON form; ask for binary_data"},
    )


def test_null_means_not_given(arithmetic):
    nothing = {"parameters": None, "outputs": None, "id": None}
    one = HALF["inputs"][0] | {"parameters": None}
    expected = arithmetic.json("/v2/models/math/infer", HALF)
    assert arithmetic.json("/v2/models/math/infer", nothing | {"inputs": [one]}) == expected
    unnamed = HALF | {"parameters": {"signature_name": None}, "outputs": [{"name": "y", "parameters": None}]}
    assert arithmetic.json("/v2/models/math/infer", unnamed) == expected
    raw = np.float32([1, 3]).tobytes()
    behind = one | {"data": None, "parameters": {"binary_data_size": 8}}
    text = json.dumps({"inputs": [behind]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(text))}
    assert arithmetic.json("/v2/models/math/infer", text + raw, headers) == expected


def test_inference_in_json(arithmetic):
    status, answer = arithmetic.json("/v2/models/math/infer", HALF | {"id": "7"})
    assert status == 200
    assert answer == {
        "id": "7",
        "model_name": "math",
        "model_version": "3",
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [2], "data": [0.5, 1.5]}],
    }


def test_a_parameter_picks_the_signature_and_outputs_are_picked_by_name(arithmetic):
    body = PAIR | {"outputs": [{"name": "b_bytes"}, {"name": "sum"}]}
    _, answer = arithmetic.json("/v2/models/math/versions/3/infer", body)
    assert [(one["name"], one["datatype"], one["data"]) for one in answer["outputs"]] == [
        ("b_bytes", "BYTES", ["x", "é"]),
        ("sum", "INT32", [3, 7]),
    ]


def test_nested_and_flat_data_are_the_same(arithmetic):
    flat = json.loads(json.dumps(PAIR))
    flat["inputs"][0]["data"] = [1, 2, 3, 4]
    assert arithmetic.json("/v2/models/math/infer", flat) == arithmetic.json("/v2/models/math/infer", PAIR)


def test_bytes_behind_the_json(arithmetic):
    a, b = np.int32([[1, 2]]).tobytes(), b"\x02\x00\x00\x00\xff\x00"
    head = {
        "parameters": {"signature_name": "pair", "binary_data_output": True},
        "inputs": [
            {"name": "a", "datatype": "INT32", "shape": [1, 2], "parameters": {"binary_data_size": len(a)}},
            {"name": "b", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": len(b)}},
        ],
        "outputs": [{"name": "sum", "parameters": {"binary_data": False}}, {"name": "b_bytes"}],
    }
    text = json.dumps(head).encode()
    length = {"Inference-Header-Content-Length": str(len(text))}
    answer = arithmetic.http("/v2/models/math/infer", text + a + b, length)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/octet-stream")
    end = int(answer.headers["inference-header-content-length"])
    first, second = json.loads(answer.body[:end])["outputs"]
    assert first["data"] == [3]
    assert (second["parameters"], answer.body[end:]) == ({"binary_data_size": len(b)}, b)


def test_bytes_that_are_not_text_need_the_binary_form(arithmetic):
    raw = json.loads(json.dumps(PAIR))
    raw["inputs"][1]["data"] = ["x", {"b64": "/w=="}]
    status, answer = arithmetic.json("/v2/models/math/infer", raw)
    assert (status, answer) == (400, {"error": "output 'b_bytes' is not UTF-8; ask for binary_data"})


def test_inference_over_grpc(ask):
    answer = ask("ModelInfer", message(x=("FP32", np.float32([1, 3]))))
    assert (answer.id, answer.model_name, answer.model_version) == ("7", "math", "3")
    assert list(answer.outputs[0].contents.fp32_contents) == [0.5, 1.5]
    pair = message("pair", a=("INT32", np.int32([[1, 2]])), b=("BYTES", np.array([b"\xff"], object)))
    assert {one.name for one in ask("ModelInfer", pair).outputs} == {"sum", "b_bytes", "scalar"}


def test_raw_contents_are_answered_with_raw_contents(ask):
    request = MESSAGES["ModelInferRequest"](model_name="math")
    request.inputs.add(name="x", datatype="FP32", shape=[2])
    request.raw_input_contents.append(np.float32([1, 3]).tobytes())
    answer = ask("ModelInfer", request)
    assert list(answer.raw_output_contents) == [np.float32([0.5, 1.5]).tobytes()]


@pytest.mark.parametrize(
    ("path", "body", "status", "fragment"),
    [
        ("models/nope/infer", HALF, 404, "Servable not found"),
        ("models/nope", None, 404, "Servable not found"),
        ("models/nope/ready", None, 404, "Could not find any versions"),
        ("models/math/versions/stable/ready", None, 400, "label: stable"),
        ("models/math/versions/4/infer", HALF, 404, "Specific(math, 4)"),
        ("models/math/versions/99999999999999999999/infer", HALF, 400, "a version below 2**63"),
        ("models/math/versions/stable/infer", HALF, 400, "label: stable"),
        ("models/math/infer", b"", 400, "the body is not JSON"),
        ("models/math/infer", b"\xff", 400, "the body is not JSON"),
        ("models/math/infer", b"[" * 100_000, 400, "nested too deeply"),
        ("models/math/infer", rb'{"inputs": [{"data": ["\udc80"]}]}', 400, "a surrogate without its partner"),
        ("models/math/infer", [], 400, "expected a JSON object; got list"),
        ("models/math/infer", {}, 400, "expected 'inputs' as an array"),
        ("models/math/infer", {"inputs": [3]}, 400, "expected 'inputs' as an array of objects"),
        ("models/math/infer", {"inputs": [{"name": 3}]}, 400, "a name in 'inputs'"),
        ("models/math/infer", {"inputs": []}, 400, "input size does not match signature: 0!=1"),
        ("models/math/infer", HALF | {"id": 7}, 400, "expected a string as id"),
        ("models/math/infer", HALF | {"parameters": 7}, 400, "expected an object as the parameters"),
        ("models/math/infer", HALF | {"parameters": {"signature_name": "nope"}}, 400, '"nope" not found'),
        ("models/math/infer", HALF | {"outputs": [{"name": "z"}]}, 400, "output tensor alias not found"),
        ("nothing", None, 404, "there is nothing at /v2/nothing"),
        ("models/math/infer", None, 405, "GET is not for /v2/models/math/infer"),
        ("models/math", HALF, 405, "POST is not for /v2/models/math"),
    ],
)
def test_every_refusal_has_its_code_and_form(arithmetic, path, body, status, fragment):
    got, answer = arithmetic.json(f"/v2/{path}", body)
    assert got == status
    assert list(answer) == ["error"]
    assert fragment in answer["error"]


@pytest.mark.parametrize(
    ("changes", "fragment"),
    [
        ({"datatype": "FP31"}, "expected a datatype of BOOL"),
        ({"datatype": "INT32"}, "expected dtype float32 for input 'x'; got int32"),
        ({"datatype": "FP16"}, "FP16 has no JSON form"),
        ({"shape": [3]}, "2 values for the shape [3]"),
        ({"shape": [-2]}, "expected a shape of sizes from 0"),
        ({"shape": [True, 2]}, "expected a shape of sizes from 0"),
        ({"shape": [2**62, 2**62]}, "is too large"),
        ({"shape": None}, "expected a shape of sizes from 0"),
        ({"data": [1, "2"]}, "is not of expected type"),
        ({"data": [[1], [2, 3]]}, "unexpected size"),
        ({"data": ["NaN", 1]}, "is not of expected type"),
        ({"parameters": {"binary_data_size": 8}}, "no 'data'"),
    ],
)
def test_a_wrong_input_is_named(arithmetic, changes, fragment):
    status, answer = arithmetic.json("/v2/models/math/infer", {"inputs": [HALF["inputs"][0] | changes]})
    assert status == 400
    assert fragment in answer["error"]


@pytest.mark.parametrize("length", ["-1", "x", "9999", "9" * 30, ""])
def test_a_wrong_header_length_is_refused(arithmetic, length):
    headers = {"Inference-Header-Content-Length": length}
    assert arithmetic.http("/v2/models/math/infer", json.dumps(HALF).encode(), headers).status == 400


@pytest.mark.parametrize(
    ("request_", "code", "fragment"),
    [
        (message(model="nope", x=("FP32", np.float32([1]))), "NOT_FOUND", "Latest(nope)"),
        (message(version="9", x=("FP32", np.float32([1]))), "NOT_FOUND", "Specific(math, 9)"),
        (message("nope", x=("FP32", np.float32([1]))), "FAILED_PRECONDITION", "not found"),
        (message(x=("INT32", np.int32([1]))), "INVALID_ARGUMENT", "expected dtype float32"),
        (message(), "INVALID_ARGUMENT", "input size does not match signature"),
    ],
)
def test_grpc_refusals_have_their_code(ask, request_, code, fragment):
    got, text = refused(ask, "ModelInfer", request_)
    assert got == code
    assert fragment in text


def test_grpc_contents_must_fit_what_is_said_of_them(ask):
    def changed(**fields):
        request = message(x=("FP32", np.float32([1])))
        for name, value in fields.items():
            setattr(request.inputs[0], name, value) if name != "shape" else request.inputs[0].shape.append(value)
        return refused(ask, "ModelInfer", request)

    assert "2 values" not in changed(shape=3)[1]
    assert "1 values for the shape [1, 3]" in changed(shape=3)[1]
    assert "expected a shape" in changed(shape=-3)[1]
    assert "datatype" in changed(datatype="")[1]
    assert "FP16 goes into raw_input_contents" in changed(datatype="FP16")[1]
    both = message(x=("FP32", np.float32([1])))
    both.raw_input_contents.append(b"")
    assert "both" in refused(ask, "ModelInfer", both)[1]
    narrow = MESSAGES["ModelInferRequest"](model_name="math")
    narrow.inputs.add(name="x", datatype="INT8", shape=[1]).contents.int_contents.append(300)
    assert "does not fit INT8" in refused(ask, "ModelInfer", narrow)[1]


def attempt(call, *args):
    """(result, None) or (None, the kind of the refusal)."""
    try:
        return call(*args), None
    except ServingError as error:
        return None, error.kind.name


KEYS = ["name", "datatype", "shape", "data", "inputs", "outputs", "parameters", "binary_data_size", "b64"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([*DATATYPES, "x", "inputs"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["name", "datatype", "shape", "data", "inputs", "outputs", "parameters", "binary_data_size", "b64"]
            ),
            inner,
        )
    ),
    max_leaves=20,
)


@given(JSON, st.binary(max_size=20), st.none() | st.integers(-3, 400))
def test_no_body_gets_anything_but_arrays_or_a_refusal(content, tail, length):
    for body in (json.dumps({"inputs": [content]}), json.dumps({"inputs": content}), json.dumps(content)):
        found, refusal = attempt(open_inference.parse, body.encode() + tail, length)
        assert refusal in (None, "INVALID_ARGUMENT")
        assert found is None or all(isinstance(array, np.ndarray) for array in found.inputs.values())


@given(st.sampled_from([*DATATYPES]), st.lists(st.integers(0, 3), max_size=3), st.data())
def test_bytes_come_back_as_they_went(kind, shape, data):
    dtype, count = DATATYPES[kind][0], int(np.prod(shape))
    if dtype == "O":
        array = np.empty(count, object)
        array[:] = data.draw(st.lists(st.binary(max_size=5), min_size=count, max_size=count))
    else:
        size = np.dtype(dtype).itemsize * count
        raw = data.draw(st.binary(min_size=size, max_size=size))
        array = np.frombuffer(raw if dtype != "?" else bytes(x & 1 for x in raw), dtype)
    back = open_inference.from_bytes(open_inference.to_bytes(array), kind, shape, "x")
    assert back.shape == tuple(shape)
    assert open_inference.to_bytes(back) == open_inference.to_bytes(array)


@given(st.binary(max_size=40), st.sampled_from([*DATATYPES]), st.lists(st.integers(-1, 9), max_size=3))
def test_bytes_that_do_not_fit_are_refused(raw, kind, shape):
    array, refusal = attempt(open_inference.from_bytes, raw, kind, shape, "x")
    assert refusal == "INVALID_ARGUMENT" if array is None else open_inference.to_bytes(array) == raw


def test_bytes_behind_many_inputs_are_not_copied_for_each():
    def described(name, size):
        return {"name": name, "datatype": "UINT8", "shape": [size], "parameters": {"binary_data_size": size}}

    sizes = {**{f"i{number}": 1 for number in range(5000)}, "large": 20_000_000}
    head = json.dumps({"inputs": [described(name, size) for name, size in sizes.items()]}).encode()
    begun = time.monotonic()
    found = open_inference.parse(head + bytes(sum(sizes.values())), len(head))
    assert {name: array.size for name, array in found.inputs.items()} == sizes
    assert time.monotonic() - begun < 2
