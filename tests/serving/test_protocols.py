"""What holds for every protocol alike: keys, limits, readiness."""

from __future__ import annotations

import gzip
import json

import pytest

from tests.serving.conftest import Arithmetic, Client, serve

V2 = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [1]}]}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("protocols") / "math"
    Arithmetic().save(folder / "1")
    return folder


def test_a_key_opens_every_protocol_and_its_absence_closes_it_in_its_own_form(base, tmp_path):
    (tmp_path / "keys").write_text("first\n")
    with serve(base, model_name="math", api_key_file=tmp_path / "keys") as server:
        client, key = Client(server.rest_port, server.grpc_port), {"Authorization": "Bearer first"}
        assert client.json("/v2/models/math/infer", V2, key)[0] == 200
        status, answer = client.json("/v2/models/math/infer", V2)
        assert (status, "API key" in answer["error"]) == (401, True)
        assert client.json("/v1/embeddings", {"model": "math", "input": "x"}, key)[0] == 400
        status, answer = client.json("/v1/embeddings", {"model": "math", "input": "x"})
        assert (status, answer["error"]["type"]) == (401, "authentication_error")
        assert client.json("/v2/health/ready")[0] == client.json("/v2/health/live")[0] == 200


def test_bodies_may_be_packed_and_have_a_limit(base):
    with serve(base, model_name="math", max_request_body_bytes=1000) as server:
        client = Client(server.rest_port, server.grpc_port)
        packed = gzip.compress(json.dumps(V2).encode())
        assert client.json("/v2/models/math/infer", packed, {"Content-Encoding": "gzip"})[0] == 200
        assert client.json("/v2/models/math/infer", packed[:20], {"Content-Encoding": "gzip"})[0] == 400
        assert client.http("/v2/models/math/infer", b" " * 1001).status == 413
        assert client.http("/v1/embeddings", b" " * 1001).status == 413


def test_a_server_that_drains_is_not_ready(base):
    with serve(base, model_name="math") as server:
        assert server.welcomes()
        server.stop()
        while server.welcomes():
            pass
    assert not server.welcomes()
