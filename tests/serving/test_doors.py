"""Who may come in and how: TLS, API keys, Unix sockets, health, reflection, and limits on what a client may do.

"protocol N" is a section of docs/protocol.md.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request

import grpc
import numpy as np
import pytest
import tensorflow as tf
import trustme
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from flowformers import client as ours
from flowformers.errors import InvalidInput, Kind, ServingError
from flowformers.serving import metrics
from flowformers.wire import (
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    ssl_config_pb2,
)
from tests.serving.conftest import Arithmetic, Client, serve

PREDICT = "/v1/models/math:predict"
BODY = {"instances": [1]}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("doors") / "math"
    Arithmetic().save(folder / "1")
    return folder


def opened(base, **options):
    return serve(base, model_name="math", **options)


def request():
    made = predict_pb2.PredictRequest()
    made.model_spec.name = "math"
    made.inputs["x"].CopyFrom(tf.make_tensor_proto(np.float32([1])))
    return made


def ask(channel, **options):
    answer = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request(), timeout=30, **options)
    return list(answer.outputs["y"].float_val)


# TLS


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def ssl_config(authority, tmp_path_factory):
    """Writes an SSLConfig file; clients must show a certificate of the authority if `verify`."""

    def write(verify):
        issued = authority.issue_cert("localhost", "127.0.0.1")
        config = ssl_config_pb2.SSLConfig(
            server_key=issued.private_key_pem.bytes(),
            server_cert=b"".join(blob.bytes() for blob in issued.cert_chain_pems),
            custom_ca=authority.cert_pem.bytes(),
            client_verify=verify,
        )
        path = tmp_path_factory.mktemp("ssl") / "ssl_config.pbtxt"
        path.write_text(str(config))
        return path

    return write


def channel(port, authority, client=None):
    pair = {}
    if client is not None:
        chain = b"".join(blob.bytes() for blob in client.cert_chain_pems)
        pair = {"private_key": client.private_key_pem.bytes(), "certificate_chain": chain}
    credentials = grpc.ssl_channel_credentials(authority.cert_pem.bytes(), **pair)
    return grpc.secure_channel(f"localhost:{port}", credentials)


def https(port, authority, client=None):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    if client is not None:
        client.configure_cert(context)
    sent = urllib.request.Request(f"https://localhost:{port}{PREDICT}", json.dumps(BODY).encode())
    with urllib.request.urlopen(sent, context=context, timeout=30) as answer:
        return json.load(answer)


def test_both_ports_speak_tls_with_the_same_file(base, ssl_config, authority):  # protocol 13
    path = ssl_config(False)
    with opened(base, ssl_config_file=path, rest_api_ssl_config_file=path) as server:
        with channel(server.grpc_port, authority) as secure:
            assert ask(secure) == [0.5]
        assert https(server.rest_port, authority) == {"predictions": [0.5]}
        with grpc.insecure_channel(f"localhost:{server.grpc_port}") as plain, pytest.raises(grpc.RpcError) as caught:
            ask(plain)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_ssl_config_file_alone_leaves_rest_as_it_was(base, ssl_config):  # protocol 12: gRPC only
    with opened(base, ssl_config_file=ssl_config(False)) as server:
        assert Client(server.rest_port, server.grpc_port).json(PREDICT, BODY)[0] == 200


def pem(folder, *blobs):
    path = folder / f"{len(list(folder.iterdir()))}.pem"
    path.write_bytes(b"".join(blob.bytes() for blob in blobs))
    return path


@pytest.mark.parametrize(("scheme", "port"), [("https", "rest_port"), ("grpcs", "grpc_port")])
def test_our_own_client_trusts_and_shows_the_certificates_it_is_given(
    base, ssl_config, authority, tmp_path, scheme, port
):
    path, mine = ssl_config(True), authority.issue_cert("me@example.org")
    ca, certificate, key = (
        pem(tmp_path, *blobs) for blobs in ((authority.cert_pem,), mine.cert_chain_pems, (mine.private_key_pem,))
    )
    once = ours.Retry(attempts=0)
    with opened(base, ssl_config_file=path, rest_api_ssl_config_file=path) as server:
        url = f"{scheme}://localhost:{getattr(server, port)}"
        with ours.Client(url, model="math", tls=ours.Tls(ca, certificate, key)) as known:
            assert known.predict({"x": [1.0]})["y"].tolist() == [0.5]
        for tls in (ours.Tls(ca), ours.Tls(certificate=certificate, key=key)):  # shows nothing; trusts others only
            with ours.Client(url, model="math", tls=tls, retry=once) as unknown:
                with pytest.raises(ServingError) as caught:
                    unknown.predict({"x": [1.0]})
                assert caught.value.kind is Kind.UNAVAILABLE


def test_clients_need_a_certificate_where_that_is_asked_for(base, ssl_config, authority):  # protocol 13
    path, mine = ssl_config(True), authority.issue_cert("me@example.org")
    with opened(base, ssl_config_file=path, rest_api_ssl_config_file=path) as server:
        with channel(server.grpc_port, authority, mine) as known:
            assert ask(known) == [0.5]
        assert https(server.rest_port, authority, mine) == {"predictions": [0.5]}
        with channel(server.grpc_port, authority) as unknown, pytest.raises(grpc.RpcError):
            ask(unknown)
        with pytest.raises((urllib.error.URLError, OSError)):
            https(server.rest_port, authority)


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("", "server_key and server_cert"),
        ('server_key: "a" server_cert: "b"', "no PEM text"),
        ('server_key: "a" server_cert: "b" client_verify: true', "custom_ca"),
        ("nonsense", "SSLConfig"),
    ],
)
def test_an_ssl_config_that_can_not_work_ends_the_start(base, tmp_path, text, fragment):
    (tmp_path / "ssl").write_text(text)
    with pytest.raises(InvalidInput, match=fragment), opened(base, ssl_config_file=tmp_path / "ssl"):
        pass


# Keys


def test_without_a_key_nothing_is_answered_but_health(base, tmp_path):
    (tmp_path / "keys").write_text("# ours\nfirst\nsecond\n")
    options = {"api_key_file": tmp_path / "keys", "enable_grpc_healthcheck_service": True}
    with opened(base, **options) as server:
        client = Client(server.rest_port, server.grpc_port)
        for headers in ({"Authorization": "Bearer first"}, {"X-Api-Key": "second"}):
            assert client.json(PREDICT, BODY, headers)[0] == 200
            with client.channel() as plain:
                assert ask(plain, metadata=[(key.lower(), value) for key, value in headers.items()]) == [0.5]
        for headers in ({}, {"Authorization": "Basic first"}, {"X-Api-Key": "firs"}, {"X-Api-Key": ""}):
            status, answer = client.json(PREDICT, BODY, headers)
            assert (status, "API key" in answer["error"]) == (401, True)
        with client.channel() as plain, pytest.raises(grpc.RpcError) as caught:
            ask(plain)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert health(client, "") == health_pb2.HealthCheckResponse.SERVING


def test_probes_and_metrics_need_no_key_and_readiness_lists_models_only_for_one(base, tmp_path):
    (tmp_path / "keys").write_text("first\n")
    (tmp_path / "monitoring").write_text("prometheus_config { enable: true }")
    with opened(base, api_key_file=tmp_path / "keys", monitoring_config_file=tmp_path / "monitoring") as server:
        client = Client(server.rest_port, server.grpc_port)
        for path in ("/healthz", "/v2/health/live", "/v2/health/ready", "/metrics", "/monitoring/prometheus/metrics"):
            assert client.http(path).status == 200, path
        assert client.json("/readyz") == (200, {"status": "ready"})
        for headers in ({"Authorization": "Bearer first"}, {"X-Api-Key": "first"}):
            assert client.json("/readyz", headers=headers) == (200, {"status": "ready", "versions": {"math": [1]}})
        for path in ("/v2", "/v2/models/math", "/v1/models/math", "/v1/models/math/metadata"):
            assert client.http(path).status == 401, path


def test_a_file_without_keys_ends_the_start(base, tmp_path):
    (tmp_path / "keys").write_text("\n# none yet\n")
    with pytest.raises(InvalidInput, match="it has none"), opened(base, api_key_file=tmp_path / "keys"):
        pass


# gRPC


def health(client, name):
    with client.channel() as plain:
        return health_pb2_grpc.HealthStub(plain).Check(health_pb2.HealthCheckRequest(service=name), timeout=30).status


@pytest.mark.parametrize("name", ["", "ModelService", "PredictionService"])
def test_health_is_serving_under_tensorflow_servings_names(base, name):  # protocol 10
    with opened(base, enable_grpc_healthcheck_service=True) as server:
        assert health(Client(server.rest_port, server.grpc_port), name) == health_pb2.HealthCheckResponse.SERVING


def test_health_is_not_served_unless_asked_for(arithmetic):  # protocol 10
    with pytest.raises(grpc.RpcError) as caught:
        health(arithmetic, "")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_reflection_tells_every_service_and_message(arithmetic):  # protocol 10
    with arithmetic.channel() as plain:
        database = ProtoReflectionDescriptorDatabase(plain)
        assert {"tensorflow.serving.PredictionService", "tensorflow.serving.ModelService"} <= set(
            database.get_services()
        )
        file = database.FindFileContainingSymbol("tensorflow.serving.PredictRequest")
    assert file.name == "tensorflow_serving/apis/predict.proto"


def test_a_unix_socket_serves_beside_or_instead_of_tcp(base, tmp_path):  # protocol 12
    path = tmp_path / "grpc.sock"
    for port in (-1, 0):
        with opened(base, port=port, grpc_socket_path=str(path)) as server:
            assert (server.grpc_port > 0) == (port != 0)
            with grpc.insecure_channel(f"unix:{path}") as local:
                assert ask(local) == [0.5]


def test_channel_arguments_reach_grpc(base):  # protocol 10
    arguments = "grpc.max_receive_message_length=10,grpc.primary_user_agent=x"
    with (
        opened(base, grpc_channel_arguments=arguments) as server,
        Client(server.rest_port, server.grpc_port).channel() as plain,
        pytest.raises(grpc.RpcError) as caught,
    ):
        ask(plain)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    with pytest.raises(InvalidInput, match="name=value"), opened(base, grpc_channel_arguments="nonsense"):
        pass


def test_answers_are_tensor_content_where_that_is_asked_for(base):  # protocol 10
    with opened(base, enable_serialization_as_tensor_content=True) as server:
        answer = Client(server.rest_port, server.grpc_port).predict(request())
    assert answer.outputs["y"].tensor_content == np.float32([0.5]).tobytes()
    assert not answer.outputs["y"].float_val


def test_bytes_that_are_no_message_are_refused(arithmetic):  # protocol 11
    with arithmetic.channel() as plain, pytest.raises(grpc.RpcError) as caught:
        plain.unary_unary("/tensorflow.serving.PredictionService/Predict")(b"\xff\xff\xff", timeout=30)
    assert caught.value.code() is grpc.StatusCode.INTERNAL


# A config by request


def reload(client, *configs, names=()):
    made = model_management_pb2.ReloadConfigRequest(metric_names=names)
    for name, path, platform in configs:
        made.config.model_config_list.config.add(name=name, base_path=str(path), model_platform=platform)
    return send_reload(client, made)


def send_reload(client, made):
    with client.channel() as plain:
        return model_service_pb2_grpc.ModelServiceStub(plain).HandleReloadConfigRequest(made, timeout=60)


def test_a_reload_replaces_every_model_and_waits_for_the_new(base):  # protocol 10, 14
    with opened(base) as server:
        client = Client(server.rest_port, server.grpc_port)
        answer = reload(client, ("other", base, "tensorflow"))
        assert (answer.status.error_code, answer.status.error_message) == (0, "")
        assert client.json("/v1/models/other:predict", BODY) == (200, {"predictions": [0.5]})
        assert client.json(PREDICT, BODY)[0] == 404


def test_a_reload_tells_by_how_much_the_counters_asked_for_went_up(base, monkeypatch):  # protocol 10
    runs, unknown = "/tensorflow/serving/batching_session/wrapped_run_count", "/nobody/counts/this"
    with opened(base) as server:
        reloaded = server.dataplane.reload

        def reload_with_a_batch(config):
            reloaded(config)
            metrics.batched(rows=1, batch=2)

        monkeypatch.setattr(server.dataplane, "reload", reload_with_a_batch)
        client = Client(server.rest_port, server.grpc_port)
        answer = reload(client, ("math", base, "tensorflow"), names=[runs, unknown])
    assert {metric.name: metric.int64_value_increase for metric in answer.metric} == {runs: 1, unknown: 0}


@pytest.mark.parametrize(
    ("configs", "fragment"),
    [
        ([("a", "/x", "tensorflow"), ("a", "/y", "tensorflow")], "multiple times"),
        ([("a", "x", "tensorflow")], "absolute path"),
        ([("a", "/x", "")], "platform"),
        ([], "not supported by HandleReloadConfigRequest"),
    ],
)
def test_a_config_that_can_not_work_changes_nothing(arithmetic, configs, fragment):  # protocol 11
    with pytest.raises(grpc.RpcError) as caught:
        reload(arithmetic, *configs)
    assert (caught.value.code().name, fragment in caught.value.details()) == ("INVALID_ARGUMENT", True)
    assert arithmetic.json(PREDICT, BODY)[0] == 200


# HTTP


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("HEAD", PREDICT, 400, "application/json"),
        ("PATCH", PREDICT, 400, "application/json"),
        ("POST", PREDICT.replace("predict", "PREDICT"), 400, "application/json"),
        ("POST", PREDICT + "?x=1", 400, "application/json"),
        ("GET", "/v1/MODELS/math", 200, "application/json"),
        ("GET", "/v1/models/math?x=1", 404, "application/json"),
        ("GET", "/v1/models/math/versions/1/labels/x", 400, "application/json"),
        ("GET", "/elsewhere", 404, "text/html"),
        ("TRACE", "/v1/models/math", 501, "text/html"),
    ],
)
def test_odd_methods_and_paths_are_told_as_tensorflow_serving_does(
    base, arithmetic, method, path, status, kind
):  # protocol 2
    connection = http.client.HTTPConnection("127.0.0.1", arithmetic.rest_port, timeout=30)
    connection.request(method, path)
    answer = connection.getresponse()
    assert (answer.status, answer.headers.get_content_type()) == (status, kind)
    assert answer.headers["Connection"] == ("close" if kind == "text/html" else None)
    assert (answer.read() == b"") is (method == "HEAD")
    connection.close()


@pytest.mark.parametrize(("origin", "status"), [("http://a", 200), ("https://a", 200), ("a", 400), (None, 400)])
def test_a_preflight_is_answered_by_its_origin(arithmetic, origin, status):  # protocol 2
    answer = arithmetic.http(PREDICT, headers={"Origin": origin} if origin else {}, method="OPTIONS")
    assert (answer.status, answer.body) == (status, b"")
    assert answer.headers["Access-Control-Allow-Origin"] is None


def test_cors_headers_are_on_every_answer_where_that_is_asked_for(base):  # protocol 3
    with opened(base, rest_api_enable_cors_support=True) as server:
        client = Client(server.rest_port, server.grpc_port)
        for answer in (client.http(PREDICT, BODY), client.http(PREDICT, b"{"), client.http(PREDICT, method="OPTIONS")):
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
            assert answer.headers["Access-Control-Allow-Methods"] == "POST, GET"
            assert answer.headers["Access-Control-Allow-Headers"] == "Content-Type"


def test_a_page_may_send_a_key_where_one_is_needed(base, tmp_path):
    (tmp_path / "keys").write_text("secret")
    with opened(base, rest_api_enable_cors_support=True, api_key_file=tmp_path / "keys") as server:
        answer = Client(server.rest_port, server.grpc_port).http(
            PREDICT, headers={"Origin": "http://a"}, method="OPTIONS"
        )
    assert answer.headers["Access-Control-Allow-Headers"] == "Content-Type, Authorization, X-Api-Key"


# Limits


def test_a_body_above_the_limit_is_a_413_however_it_is_sent(base):
    with opened(base, max_request_body_bytes=1000) as server:
        client = Client(server.rest_port, server.grpc_port)
        assert client.http(PREDICT, b" " * 1001).status == 413
        connection = http.client.HTTPConnection("127.0.0.1", server.rest_port, timeout=30)
        connection.request(
            "POST", PREDICT, iter([b" " * 600] * 2), encode_chunked=True, headers={"Transfer-Encoding": "chunked"}
        )
        assert connection.getresponse().status == 413
        connection.close()
        assert client.json(PREDICT, BODY)[0] == 200


def talk(port, *parts, pause=0.0):
    """Send the parts; everything that came back until the server closed the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        for part in parts:
            connection.sendall(part)
            time.sleep(pause)
        found = b""
        while chunk := connection.recv(4096):
            found += chunk
    return found


@pytest.mark.parametrize("ends", [b"\r\n\r\n", b""])
def test_headers_above_the_limit_are_a_431_whether_they_end_or_not(base, ends):
    with opened(base, max_header_bytes=2000) as server:
        head = b"GET /v1/models/math HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
        lines = b"".join(b"X-%d: %s\r\n" % (number, b"x" * 500) for number in range(5))
        assert b" 431 " in talk(server.rest_port, head + lines + ends)


CHUNKED = b"POST %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n" % PREDICT.encode()
CHUNKS = b'12\r\n{"instances": [2]}\r\n0\r\n'


@pytest.mark.parametrize("line", [b"X: y\r\n" * 500, b"x" * 3000])
def test_trailers_have_the_limit_of_headers(base, line):
    with opened(base, max_header_bytes=2000) as server:
        assert b" 431 " in talk(server.rest_port, CHUNKED + CHUNKS, line, pause=0.1)


def test_trailers_are_no_headers(arithmetic):
    trailers = b"X-Request-Id: of-the-trailers\r\nContent-Encoding: gzip\r\n\r\n"
    found = talk(arithmetic.rest_port, CHUNKED + CHUNKS + trailers)
    assert predictions(found) == [[1]]
    assert b"of-the-trailers" not in found


@pytest.mark.parametrize("part", [b"", b"POST", b"POST /v1/models/math:predict HTTP/1.1\r\nContent-Length: 9\r\n\r\n{"])
def test_a_connection_without_progress_is_closed(base, part):  # protocol 3
    with opened(base, idle_seconds=1) as server:
        begun = time.monotonic()
        assert talk(server.rest_port, part) == b""
        assert time.monotonic() - begun < 5


def test_a_limit_of_0_is_none(base):  # protocol 12
    names = ("max_request_body_bytes", "max_header_bytes", "max_connections", "max_queued_requests", "idle_seconds")
    limits = dict.fromkeys([*names, "rest_api_timeout_in_ms"], 0)
    with opened(base, num_run_threads=1, **limits) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.rest_port)
        for _ in range(2):
            connection.request("POST", PREDICT, json.dumps(BODY))
            answer = connection.getresponse()
            assert (answer.status, json.loads(answer.read())) == (200, {"predictions": [0.5]})
            assert connection.sock is not None, "the connection was closed"
            time.sleep(0.1)
        connection.close()


def test_any_number_may_wait_where_the_queue_has_no_limit(base):
    with opened(base, num_run_threads=1, max_queued_requests=0) as server:
        client, made = Client(server.rest_port, server.grpc_port), request()
        made.model_spec.signature_name = "slow"
        made.inputs["x"].CopyFrom(tf.make_tensor_proto(np.float64([1])))
        with client.channel() as plain:
            busy = prediction_service_pb2_grpc.PredictionServiceStub(plain).Predict.future(made, timeout=0.8)
            time.sleep(0.3)
            assert client.json(PREDICT, BODY)[0] == 200
            assert busy.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_an_expectation_that_nobody_knows_is_a_417(arithmetic):  # protocol 3
    head = b"POST %s HTTP/1.1\r\nHost: a\r\nExpect: tea\r\nContent-Length: 0\r\n\r\n" % PREDICT.encode()
    assert b" 417 " in talk(arithmetic.rest_port, head)


CLOSE = b"Connection: close\r\n"


def post(value, extra=b"", version=b"1.1"):
    body = b'{"instances": [%d]}' % value
    head = b"POST %s HTTP/%s\r\nHost: a\r\n%sContent-Length: %d\r\n\r\n"
    return head % (PREDICT.encode(), version, extra, len(body)) + body


def predictions(found):
    """What the answers of one connection say, in their order."""
    bodies = [part[part.index(b"{") : part.rindex(b"}") + 1] for part in found.split(b"HTTP/1.1")[1:]]
    return [json.loads(body)["predictions"] for body in bodies]


def test_requests_on_one_connection_are_answered_in_order(arithmetic):  # protocol 3
    assert predictions(talk(arithmetic.rest_port, post(2) + post(4) + post(6, CLOSE))) == [[1], [2], [3]]


H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ\r\n"


@pytest.mark.parametrize("upgrade", [H2C, b"Upgrade: websocket\r\nConnection: upgrade\r\n"])
@pytest.mark.parametrize("cut", [None, -5, -16, -30])
def test_an_upgrade_is_ignored_and_the_body_read(arithmetic, upgrade, cut):  # protocol 3
    asked = post(2, upgrade)
    parts = [asked[:cut], asked[cut:]] if cut else [asked]
    assert predictions(talk(arithmetic.rest_port, *parts, post(4, upgrade) + post(6, CLOSE), pause=0.05)) == [
        [1],
        [2],
        [3],
    ]


def test_a_chunked_body_behind_an_upgrade_is_read(arithmetic):  # protocol 3
    head = b"POST %s HTTP/1.1\r\nHost: a\r\n%sTransfer-Encoding: chunked\r\n\r\n" % (PREDICT.encode(), H2C)
    body = b'12\r\n{"instances": [2]}\r\n0\r\n\r\n'
    assert predictions(talk(arithmetic.rest_port, head + body + post(4, CLOSE))) == [[1], [2]]


def test_a_long_body_is_not_counted_with_the_next_requests_head(base):
    with opened(base, max_header_bytes=2000) as server:
        first, second = post(2).replace(b"[2]", b"[2]" + b" " * 4000), post(4, CLOSE)
        first = first.replace(b"Length: 18", b"Length: 4018")
        assert predictions(talk(server.rest_port, first + second[:60], second[60:], pause=0.2)) == [[1], [2]]


def test_what_comes_before_a_head_that_is_refused_is_answered(arithmetic):
    assert predictions(talk(arithmetic.rest_port, post(2) + b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n")) == [[1]]


def test_a_client_of_http_1_0_keeps_its_connection_where_it_asks_for_that(arithmetic):  # protocol 3
    kept = b"Connection: keep-alive\r\n"
    found = talk(arithmetic.rest_port, post(2, kept, b"1.0"), post(4, kept, b"1.0"), post(6, b"", b"1.0"), pause=0.1)
    assert predictions(found) == [[1], [2], [3]]
    said = [part.partition(b"\r\n\r\n")[0].lower() for part in found.split(b"HTTP/1.1")[1:]]
    assert [b"connection: keep-alive" in head for head in said] == [True, True, False]


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"FOO /v1/models/math HTTP/1.1\r\nHost: a\r\n\r\n", b"501"),
        (b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", b"501"),
        (b"\x16\x03\x01\x00\xa5\x01\x00\x00", b"400"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: two\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\n", b"400"),
    ],
)
def test_a_head_that_is_none_is_refused_with_a_page(arithmetic, head, status):  # protocol 2, 3
    found, _, page = talk(arithmetic.rest_port, head).partition(b"\r\n\r\n")
    assert found.split()[1] == status
    assert b"content-type: text/html\r\n" in found
    assert b"connection: close" in found
    assert page.startswith(b"<html>")


def test_a_full_queue_is_a_429_at_once_and_what_nobody_waits_for_is_not_run(base):
    options = {"num_run_threads": 1, "max_queued_requests": 1, "rest_api_timeout_in_ms": 4000}
    slow = {"signature_name": "slow", "instances": [1]}
    with opened(base, **options) as server:
        client = Client(server.rest_port, server.grpc_port)
        first = threading.Thread(target=client.http, args=(PREDICT, slow))
        first.start()
        time.sleep(0.5)
        with client.channel() as plain:
            made = request()
            made.model_spec.signature_name = "slow"
            made.inputs["x"].CopyFrom(tf.make_tensor_proto(np.float64([1])))
            waiting = prediction_service_pb2_grpc.PredictionServiceStub(plain).Predict.future(made, timeout=30)
            time.sleep(0.5)
            begun = time.monotonic()
            answer = client.http(PREDICT, slow)
            assert (answer.status, answer.headers["Retry-After"]) == (429, "1")
            assert time.monotonic() - begun < 1
            waiting.cancel()
        first.join()
        begun = time.monotonic()
        assert client.json(PREDICT, BODY)[0] == 200
        assert time.monotonic() - begun < 2, "the cancelled request was run"
