"""REST as TensorFlow Serving speaks it. "protocol N" is a section of docs/protocol.md."""

from __future__ import annotations

import gzip
import http.client
import json
import socket

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

PREDICT = "/v1/models/math:predict"


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ({"instances": [1.0, 2.0, 5.0]}, {"predictions": [0.5, 1.0, 2.5]}),
        ({"inputs": [1.0, 2.0]}, {"outputs": [0.5, 1.0]}),
        ({"inputs": {"x": [3]}, "signature_name": "serving_default"}, {"outputs": [1.5]}),
    ],
)
def test_rows_and_columns_are_answered_in_their_own_form(arithmetic, body, answer):  # protocol 4, 6
    assert arithmetic.json(PREDICT, body) == (200, answer)


def test_several_inputs_and_outputs_are_named(arithmetic):  # protocol 4, 6
    body = {"signature_name": "pair", "inputs": {"a": [[1, 2]], "b": ["x"]}}
    outputs = {"sum": [3], "b_bytes": [{"b64": "eA=="}], "scalar": 7}
    assert arithmetic.json(PREDICT, body) == (200, {"outputs": outputs})


@pytest.mark.parametrize("path", ["/v1/models/math/versions/3:predict", "/v1/models/math:predict"])
def test_a_version_may_be_named(arithmetic, path):  # protocol 2
    assert arithmetic.json(path, {"instances": [4]}) == (200, {"predictions": [2.0]})


def test_the_model_answers_over_the_wire_as_it_does_in_python(bert, batch):
    client, model = bert
    rows = [{name: value[row].tolist() for name, value in batch.items()} for row in range(3)]
    status, answer = client.json("/v1/models/bert:predict", {"instances": rows})
    assert status == 200
    np.testing.assert_allclose(answer["predictions"], model(batch).logits, atol=1e-6)


@pytest.mark.parametrize(
    ("path", "body", "status", "fragment"),
    [
        (PREDICT, b"{", 400, "JSON Parse error"),
        (PREDICT, b"", 400, "The document is empty"),
        (PREDICT, {"instances": []}, 400, "No values in 'instances' array"),
        (PREDICT, {"instances": ["x"]}, 400, "is not of expected type"),
        (PREDICT, {"instances": [1], "signature_name": "nope"}, 400, "not found in signature def"),
        ("/v1/models/nope:predict", {"instances": [1]}, 404, "Servable not found for request: Latest(nope)"),
        ("/v1/models/nope:predict", b"{", 400, "JSON Parse error"),
        (
            "/v1/models/math/versions/9:predict",
            {"instances": [1]},
            404,
            "Servable not found for request: Specific(math, 9)",
        ),
        ("/v1/models/math/labels/gold:predict", {"instances": [1]}, 400, "Unrecognized servable version label: gold"),
        ("/v1/models/math:nope", {"instances": [1]}, 400, "Malformed request"),
        ("/v1/models", None, 400, "Missing model name in request."),
        (f"/v1/models/math/versions/{2**63}:predict", {"instances": [1]}, 400, "Failed to convert version"),
        (f"/v1/models/math/versions/{'9' * 5000}", None, 400, "Failed to convert version"),
    ],
)
def test_a_mistake_has_its_status_and_says_what_it_is(arithmetic, path, body, status, fragment):  # protocol 9
    found, answer = arithmetic.json(path, body)
    assert (found, fragment in answer["error"]) == (status, True), answer


@pytest.mark.parametrize(
    ("ids", "fragment"),
    [([1, 40], "40"), ([-1, 1], "-1"), ([1] * 13, "12"), ([[1], [2]], ""), ([1.5], "expected type")],
)
def test_a_request_that_the_model_cannot_take_is_a_400(bert, ids, fragment):  # protocol 9
    client, _ = bert
    row = {"input_ids": ids, "attention_mask": [1] * len(ids), "token_type_ids": [0] * len(ids)}
    status, answer = client.json("/v1/models/bert:predict", {"instances": [row]})
    assert (status, fragment in answer["error"]) == (400, True), answer


def test_rows_of_an_output_without_batch_are_refused(arithmetic):  # protocol 6
    body = {"signature_name": "pair", "instances": [{"a": [1, 2], "b": "x"}]}
    assert arithmetic.json(PREDICT, body)[0] == 400


def test_a_graph_that_runs_too_long_is_a_504(arithmetic):  # protocol 3
    status, answer = arithmetic.json(PREDICT, {"signature_name": "slow", "instances": [1]})
    assert status == 504, answer


def test_status_tells_every_version(arithmetic):  # protocol 8
    version = {"version": "3", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    for path in ("/v1/models/math", "/v1/models/math/versions/3"):
        assert arithmetic.json(path) == (200, {"model_version_status": [version]})
    assert arithmetic.json("/v1/models/nope")[0] == 404


def test_metadata_tells_every_signature(arithmetic):  # protocol 8
    status, answer = arithmetic.json("/v1/models/math/metadata")
    assert status == 200
    assert answer["model_spec"] == {"name": "math", "signature_name": "", "version": "3"}
    signatures = answer["metadata"]["signature_def"]["signature_def"]
    assert set(signatures) >= {"serving_default", "pair", "slow"}
    half = signatures["serving_default"]
    assert half["method_name"] == "tensorflow/serving/predict"
    assert half["inputs"]["x"]["dtype"] == "DT_FLOAT"
    assert half["inputs"]["x"]["tensor_shape"]["dim"] == [{"size": "-1", "name": ""}]
    assert list(signatures) == sorted(signatures)  # a map has no order of its own: another in each process
    assert all(list(one["inputs"]) == sorted(one["inputs"]) for one in signatures.values())


@pytest.mark.parametrize(("method", "path"), [("PUT", PREDICT), ("DELETE", "/v1/models/math"), ("GET", PREDICT)])
def test_a_method_that_does_not_fit_is_refused_in_json(arithmetic, method, path):  # protocol 2
    answer = arithmetic.http(path, method=method)
    assert answer.status in (400, 405)
    assert "error" in json.loads(answer.body)


# HTTP


def test_answers_have_type_and_length_and_no_server_name(arithmetic):  # protocol 3
    answer = arithmetic.http(PREDICT, {"instances": [1]})
    assert answer.headers["Content-Type"] == "application/json"
    assert int(answer.headers["Content-Length"]) == len(answer.body)
    assert answer.headers["Server"] is None
    assert answer.headers["Access-Control-Allow-Origin"] is None


def test_gzip_bodies_are_unpacked_and_broken_ones_are_empty(arithmetic):  # protocol 3
    headers = {"Content-Encoding": "gzip"}
    packed = gzip.compress(b'{"instances": [1]}')
    assert arithmetic.json(PREDICT, packed, headers) == (200, {"predictions": [0.5]})
    status, answer = arithmetic.json(PREDICT, packed[:-9] + b"123456789", headers)
    assert (status, answer["error"]) == (400, "JSON Parse error: The document is empty")


def test_chunked_bodies_and_kept_connections_work(arithmetic):  # protocol 3
    connection = http.client.HTTPConnection("127.0.0.1", arithmetic.rest_port)
    for body in ([b'{"instances"', b": [1]}"], [b"{"], [b'{"instances": [2]}']):
        connection.request(
            "POST", PREDICT, body=iter(body), encode_chunked=True, headers={"Transfer-Encoding": "chunked"}
        )
        answer = connection.getresponse()
        content = json.loads(answer.read())
    assert content == {"predictions": [1.0]}
    connection.close()


def test_half_a_million_nested_lists_do_no_harm(arithmetic):  # protocol 20
    body = b'{"instances": ' + b"[" * 500_000
    assert arithmetic.json(PREDICT, body)[0] == 400
    assert arithmetic.json(PREDICT, {"instances": [1]})[0] == 200


@given(st.binary(max_size=80))
@settings(deadline=None, max_examples=100)
def test_no_bytes_on_the_socket_stop_the_server(arithmetic, content):
    with socket.create_connection(("127.0.0.1", arithmetic.rest_port), timeout=5) as connection:
        connection.sendall(content)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(4096):
            pass
    assert arithmetic.json(PREDICT, {"instances": [1]})[0] == 200


@given(st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="#"), max_size=30))
@settings(deadline=None, max_examples=100)
def test_no_path_gives_a_500(arithmetic, path):
    for body in (None, {"instances": [1]}):
        answer = arithmetic.http(f"/v1/{path}", body)
        assert answer.status in (400, 404)
        assert "error" in json.loads(answer.body)
        assert arithmetic.http(f"/{path}", body).status == 404
