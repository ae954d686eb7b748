"""What those who run the server see. "protocol N" is a section of docs/protocol.md."""

from __future__ import annotations

import json
import logging
import re

import grpc
import pytest

from flowformers.serving import metrics
from flowformers.serving.logs import JsonFormatter, TextFormatter
from flowformers.wire import prediction_service_pb2_grpc
from flowformers.wire.open_inference import MESSAGES, SERVICE
from flowformers.wire.stubs import stub_class
from tests.serving.conftest import Arithmetic, Client, serve
from tests.serving.test_grpc import request

PREDICT = "/v1/models/sums:predict"


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    folder = tmp_path_factory.mktemp("operations")
    Arithmetic().save(folder / "sums" / "5")
    config = folder / "monitoring.txt"
    config.write_text('prometheus_config { enable: true path: "/v1/numbers" }')
    with serve(folder / "sums", model_name="sums", monitoring_config_file=config) as server:
        yield Client(server.rest_port, server.grpc_port)


def value(client, path, line):
    """The value of a series in Prometheus' text; 0 where it is not there."""
    text = client.http(path).body.decode()
    found = re.search(rf"^{re.escape(line)} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def test_tensorflow_servings_metrics_stand_at_the_configured_path(client):  # protocol 17
    counted = ':tensorflow:serving:request_count{model_name="sums",status="OK"}'
    latency = ':tensorflow:serving:request_latency_count{model_name="sums",API="predict",entrypoint="REST"}'
    before, timed = value(client, "/v1/numbers", counted), value(client, "/v1/numbers", latency)
    client.http(PREDICT, {"instances": [1]})
    client.http("/v1/models/sums")
    client.predict(request("sums", x=[1.0]))
    assert value(client, "/v1/numbers", counted) - before == 3
    assert value(client, "/v1/numbers", latency) - timed == 1
    answer = client.http("/v1/numbers")
    assert answer.headers["Content-Type"].startswith("text/plain")
    text = answer.body.decode()
    for line in (
        "# TYPE :tensorflow:serving:request_count counter",
        "# TYPE :tensorflow:serving:request_latency histogram",
        ':tensorflow:serving:request_latency_bucket{model_name="sums",API="Predict",entrypoint="GRPC",le="10.0"}',
        ':tensorflow:serving:runtime_latency_count{model_name="sums",API="Predict",runtime="TF1"}',
        ':tensorflow:cc:saved_model:load_attempt_count{model_path="',
    ):
        assert line in text
    assert "# HELP" not in text
    assert "_total" not in text
    assert 'le="+Inf"' in text


def test_latency_has_tensorflow_servings_buckets():  # protocol 17
    assert metrics.SERVINGS_MICROSECONDS[:3] == pytest.approx((10, 18, 32.4))
    assert len(metrics.SERVINGS_MICROSECONDS) == 33


def test_a_query_on_the_metrics_path_is_a_400(client):  # protocol 17
    assert client.http("/v1/numbers?x=1").status == 400


def test_refusals_are_counted_by_code_and_not_timed(client):  # protocol 17
    counted = ':tensorflow:serving:request_count{model_name="sums",status="INVALID_ARGUMENT"}'
    latency = ':tensorflow:serving:request_latency_count{model_name="sums",API="predict",entrypoint="REST"}'
    before, timed = value(client, "/v1/numbers", counted), value(client, "/v1/numbers", latency)
    assert client.http(PREDICT, {"instances": ["x"]}).status == 400
    assert value(client, "/v1/numbers", counted) - before == 1
    assert value(client, "/v1/numbers", latency) == timed


def test_our_own_metrics_are_prometheus_text(client):
    client.http(PREDICT, {"instances": [1]})
    text = client.http("/metrics").body.decode()
    for line in (
        'flowformers_requests_total{api="predict",model="sums",protocol="REST",status="OK"}',
        'flowformers_loads_total{model="sums",result="success"} 1.0',
        'flowformers_versions_available{model="sums"} 1.0',
        'flowformers_requests_in_flight{protocol="REST"} 0.0',
        'flowformers_request_seconds_bucket{api="predict",le="0.005",model="sums",protocol="REST"}',
    ):
        assert line in text


V2 = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [1]}]}
COUNTED = 'flowformers_requests_total{api="%s",model="%s",protocol="%s",status="%s"}'


def infer_over_grpc(client):
    asked = MESSAGES["ModelInferRequest"](model_name="sums")
    asked.inputs.add(name="x", datatype="FP32", shape=[1]).contents.fp32_contents.append(1)
    with client.channel() as channel:
        stub_class(SERVICE)(channel).ModelInfer(asked, timeout=30)


def send_broken_bytes(client):
    with client.channel() as channel, pytest.raises(grpc.RpcError):
        channel.unary_unary("/tensorflow.serving.PredictionService/Predict")(b"\xff\xff", timeout=30)


@pytest.mark.parametrize(
    ("ask", "names"),
    [
        (lambda client: client.http("/v2/models/sums/infer", V2), ("infer", "sums", "REST", "OK")),
        (
            lambda client: client.http("/v1/embeddings", {"model": "sums", "input": "x"}),
            ("embeddings", "sums", "REST", "INVALID_ARGUMENT"),
        ),
        (
            lambda client: client.http("/v1/embeddings", {"model": "invented", "input": "x"}),
            ("embeddings", "", "REST", "NOT_FOUND"),
        ),
        (infer_over_grpc, ("ModelInfer", "sums", "GRPC", "OK")),
        (send_broken_bytes, ("Predict", "", "GRPC", "INTERNAL")),
        (lambda client: client.http("/v1/models/sums:nothing", b"{}"), ("", "", "REST", "INVALID_ARGUMENT")),
    ],
)
def test_every_protocol_is_counted_under_its_api_and_model(client, ask, names):
    before = value(client, "/metrics", COUNTED % names)
    ask(client)
    assert value(client, "/metrics", COUNTED % names) - before == 1


def test_names_that_clients_invent_make_no_new_series(client):
    for name in ("invented1", "invented2"):
        assert client.http(f"/v1/models/{name}:predict", {"instances": [1]}).status == 404
    assert "invented" not in client.http("/metrics").body.decode()


def test_health_and_readiness_say_which_versions_answer(client):
    assert client.json("/healthz") == (200, {"status": "alive"})
    assert client.json("/readyz") == (200, {"status": "ready", "versions": {"sums": [5]}})


def test_readiness_goes_when_a_model_has_no_version(tmp_path):
    import shutil

    from tests.serving.test_process import wait_for

    Arithmetic().save(tmp_path / "m" / "1")
    with serve(tmp_path / "m", model_name="m", file_system_poll_wait_seconds=0.1) as server:
        client = Client(server.rest_port, server.grpc_port)
        shutil.rmtree(tmp_path / "m" / "1")
        wait_for(lambda: client.json("/readyz") == (503, {"status": "loading", "versions": {"m": []}}))
        assert client.http("/healthz").status == 200


@pytest.mark.parametrize("given", ["abc-1.2:3", None, "not/allowed", "x" * 200])
def test_every_answer_has_a_request_id_and_its_timing(client, given):
    headers = {"X-Request-Id": given} if given else {}
    for path, body in ((PREDICT, {"instances": [1]}), (PREDICT, b"{"), ("/v1/models/sums", None)):
        found = client.http(path, body, headers).headers
        assert re.fullmatch(r"[0-9a-f]{16}", found["X-Request-Id"]) or found["X-Request-Id"] == given == "abc-1.2:3"
        assert re.fullmatch(r"queue;dur=[\d.]+, run;dur=[\d.]+, total;dur=[\d.]+", found["Server-Timing"])


def test_grpc_answers_carry_the_id_and_timing_as_trailing_metadata(client):
    with client.channel() as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        _, call = stub.Predict.with_call(request("sums", x=[1.0]), metadata=[("x-request-id", "mine")], timeout=30)
        found = dict(call.trailing_metadata())
        assert (found["x-request-id"], "total;dur=" in found["server-timing"]) == ("mine", True)
        with pytest.raises(grpc.RpcError) as caught:
            stub.Predict(request("nope", x=[1.0]), metadata=[("x-request-id", "mine")], timeout=30)
        assert dict(caught.value.trailing_metadata())["x-request-id"] == "mine"


def record(**fields):
    made = logging.LogRecord("flowformers.access", logging.INFO, "", 0, "answered %s", ("x",), None)
    made.fields = fields
    return made


def test_log_lines_are_json_or_text_with_the_same_fields():
    line = json.loads(JsonFormatter().format(record(model="m", run_ms=1.5)))
    assert (line["message"], line["level"], line["model"], line["run_ms"]) == ("answered x", "INFO", "m", 1.5)
    assert TextFormatter().format(record(model="m")).endswith("INFO answered x model=m")


def test_a_line_of_text_is_one_line_whatever_a_model_is_called():
    line = TextFormatter().format(record(model="m\n2026-01-01 ERROR of nobody", status="OK"))
    assert line.endswith(r'model="m\n2026-01-01 ERROR of nobody" status=OK')


def test_the_access_log_has_a_line_for_each_request(client, caplog):
    caplog.set_level(logging.INFO, "flowformers.access")
    client.http(PREDICT, {"instances": [1]}, {"X-Request-Id": "seen"})
    (found,) = [entry.fields for entry in caplog.records if getattr(entry, "fields", {}).get("request_id") == "seen"]
    assert (found["api"], found["model"], found["status"], found["total_ms"] > 0) == ("predict", "sums", "OK", True)


@pytest.fixture
def spans(monkeypatch):
    """What is sent of a trace."""
    from opentelemetry.sdk import trace
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from flowformers.serving import tracing

    seen, provider = InMemorySpanExporter(), trace.TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(seen))
    monkeypatch.setattr(tracing, "_tracer", provider.get_tracer("test"))
    return seen


def test_spans_continue_the_clients_trace(client, spans):
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    client.http(PREDICT, {"instances": ["x"]}, {"traceparent": parent})
    (span,) = spans.get_finished_spans()
    assert format(span.context.trace_id, "032x") == parent.split("-")[1]
    assert (span.name, span.attributes["flowformers.status"]) == ("predict sums", "INVALID_ARGUMENT")


def test_a_span_has_the_model_that_only_the_body_names(client, spans):
    client.http("/v1/embeddings", {"model": "sums", "input": "x"})
    (span,) = spans.get_finished_spans()
    assert (span.name, span.attributes["flowformers.model"]) == ("embeddings sums", "sums")
