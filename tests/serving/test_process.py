"""The server as a process and its life: versions that come and go, ports, signals."""

from __future__ import annotations

import contextlib
import math
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import grpc
import numpy as np
import pytest
import tensorflow as tf

from flowformers.errors import FlowformersError, InvalidInput
from flowformers.serving import Settings, running
from flowformers.serving import server as server_module
from flowformers.serving.servable import Servable
from flowformers.serving.server import ready_text
from flowformers.wire import get_model_status_pb2, prediction_service_pb2_grpc
from tests.serving.conftest import Arithmetic, Client, serve
from tests.serving.test_grpc import request


def wait_for(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


@pytest.fixture
def base(tmp_path):
    Arithmetic().save(tmp_path / "math" / "1")
    return tmp_path / "math"


@contextlib.contextmanager
def command(base, *flags):
    """`flowformers serve` in a process of its own: (process, client, what it wrote until it was ready)."""
    words = [sys.executable, "-m", "flowformers", "serve", str(base), "--port=-1", "--rest_api_port=-1", *flags]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"})
    try:
        log = ""
        while "Try: curl" not in log:
            line = process.stderr.readline()
            assert line, log
            log += line
        rest, port = re.search(r"REST http://127\.0\.0\.1:(\d+)/\S+  gRPC 127\.0\.0\.1:(\d+)", log).groups()
        yield process, Client(int(rest), int(port)), log
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def test_the_ready_line_has_the_addresses_and_a_request_to_copy(base):
    with command(base) as (_, client, log):
        assert f"Ready: model math, version 1. REST http://127.0.0.1:{client.rest_port}/v1/models/math" in log
        body = re.search(r"curl -d '(.*)' (\S+)", log)
        path = body[2].partition(f":{client.rest_port}")[2]
        assert client.http(path, body[1].encode()).status in (200, 400)


class Constant(tf.Module):
    """Asks for nothing."""

    @tf.function(input_signature=[])
    def answer(self):
        return {"y": tf.constant([42])}


def test_a_signature_without_inputs_has_a_ready_line_and_a_request_too(tmp_path):
    model = Constant()
    tf.saved_model.save(model, str(tmp_path / "1"), signatures=model.answer)
    with serve(tmp_path, model_name="m") as server:
        text = ready_text(server)
        assert "Ready: model m, version 1." in text
        body = re.search(r"curl -d '(.*)'", text)[1].encode()
        client = Client(server.rest_port, server.grpc_port)
        assert client.json("/v1/models/m:predict", body) == (200, {"predictions": [42]})


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_what_was_accepted_and_exits_0(base, number):
    answers = []
    with command(base, "--rest_api_timeout_in_ms=3000") as (process, client, _):
        body = {"signature_name": "slow", "instances": [1]}
        asking = threading.Thread(target=lambda: answers.append(client.http("/v1/models/math:predict", body).status))
        asking.start()
        time.sleep(0.5)
        process.send_signal(number)
        asking.join()
        assert process.wait(timeout=30) == 0
    assert answers == [504]  # answered: its own time limit ended it, not the signal


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_server_that_is_not_ready(tmp_path, number):
    """By a handler of its own: the kernel drops what the first process of a container has no handler for."""
    config, log = tmp_path / "models.config", tmp_path / "log"
    model = f'name: "m" base_path: "{tmp_path}/m" model_platform: "tensorflow"'
    config.write_text(f"model_config_list {{ config {{ {model} }} }}")
    with log.open("w") as stderr:
        words = [sys.executable, "-m", "flowformers", "serve", f"--model_config_file={config}"]
        # A shell that runs the tests in its background has them ignore SIGINT, which children inherit.
        process = subprocess.Popen(words, stderr=stderr, preexec_fn=partial(signal.signal, number, signal.SIG_DFL))
    try:
        wait_for(lambda: f"model m is waited for: no versions below {tmp_path}/m" in log.read_text(), 60)
        process.send_signal(number)
        assert process.wait(20) == 128 + number
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("gone", [True, False])
def test_the_drain_ends_though_a_run_does_not(base, gone):
    with serve(base, model_name="math", drain_seconds=0.2) as server:
        client = Client(server.rest_port, server.grpc_port)
        with client.channel() as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            answer = stub.Predict.future(request("math", "slow", x=np.float64([1])))
            wait_for(server.repository.running)
            if gone:
                answer.cancel()
            server.stop()
            wait_for(lambda: not server.repository.running())
            assert answer.code() in (grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE)


def test_a_run_that_cannot_be_stopped_is_told_and_left(base, monkeypatch, caplog):
    monkeypatch.setattr(Servable, "interrupt", lambda self: None)
    monkeypatch.setattr(server_module, "END_SECONDS", 0.1)
    with serve(base, model_name="math", drain_seconds=0.2) as server, ThreadPoolExecutor(1) as pool:
        client = Client(server.rest_port, server.grpc_port)
        pool.submit(client.predict, request("math", "slow", x=np.float64([1])), timeout=1)
        wait_for(server.repository.running)
        server.stop()
        wait_for(lambda: "left as it is: 1 of version 1 of math" in caplog.text)
    wait_for(lambda: not server.repository.running())


@pytest.mark.parametrize("code", [None, 0, 1])
def test_the_process_does_not_wait_for_what_cannot_be_stopped(base, monkeypatch, code):
    async def serve(self):
        return code

    left = []
    for target, name, value in (
        (server_module.logs, "configure", lambda *_, **__: None),
        (server_module.os, "_exit", left.append),
        (server_module.Server, "load", lambda self: None),
        (server_module.Server, "serve", serve),
    ):
        monkeypatch.setattr(target, name, value)
    assert server_module.run(Settings(model_base_path=base)) == 0
    assert left == [code] * (code is not None)


def test_rest_api_port_0_switches_rest_off(base):  # protocol 1
    settings = Settings(model_base_path=base, model_name="math", port=-1, rest_api_port=0)
    with running(settings) as server:
        assert server.rest_port == 0
        assert "REST off" in ready_text(server)
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = "math"
        assert Client(0, server.grpc_port).model_status(request).model_version_status[0].version == 1


@pytest.mark.parametrize("flag", ["port", "rest_api_port"])
def test_a_port_in_use_is_told_with_the_flag_to_change(base, flag):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports = {"port": -1, "rest_api_port": -1} | {flag: taken.getsockname()[1]}
        settings = Settings(model_base_path=base, **ports)
        with pytest.raises(InvalidInput, match=f"--{flag}"), running(settings):
            pass


def test_a_newer_version_takes_over_and_the_old_one_goes(base):  # protocol 14
    with serve(base, model_name="math", file_system_poll_wait_seconds=0.1) as server:
        client = Client(server.rest_port, server.grpc_port)

        def states():
            versions = client.json("/v1/models/math")[1]["model_version_status"]
            return {found["version"]: found["state"] for found in versions}

        Arithmetic().save(base.parent / "fresh")
        (base.parent / "fresh").rename(base / "2")
        wait_for(lambda: states().get("2") == "AVAILABLE" and states().get("1") == "END")
        assert client.json("/v1/models/math:predict", {"instances": [1]})[0] == 200
        assert client.json("/v1/models/math/versions/1:predict", {"instances": [1]})[0] == 404


def test_a_broken_newer_version_leaves_the_old_one_serving(base):  # protocol 14
    options = {"file_system_poll_wait_seconds": 0.1, "max_num_load_retries": 0}
    with serve(base, model_name="math", **options) as server:
        client = Client(server.rest_port, server.grpc_port)
        (base / "2").mkdir()
        (base / "2" / "saved_model.pb").write_bytes(b"broken")

        def failed():
            versions = client.json("/v1/models/math")[1]["model_version_status"]
            return any(found["version"] == "2" and found["status"]["error_code"] != "OK" for found in versions)

        wait_for(failed)
        assert client.json("/v1/models/math:predict", {"instances": [1]}) == (200, {"predictions": [0.5]})


def test_a_folder_without_versions_is_refused_at_once(tmp_path):
    with pytest.raises(FlowformersError, match=re.escape(str(tmp_path))), serve(tmp_path):
        pass


def test_a_model_that_cannot_be_loaded_ends_the_start(base):
    (base / "1" / "saved_model.pb").unlink()
    with pytest.raises(FlowformersError, match=r"saved_model\.pb"), serve(base, max_num_load_retries=0):
        pass


NO_NUMBERS = [{"drain_seconds": math.inf}, {"file_system_poll_wait_seconds": math.nan}]
WRONG = [{"port": 70000}, {"port": -2}, {"port": 0}, {"model_name": "a/b"}, *NO_NUMBERS]


@pytest.mark.parametrize("wrong", WRONG)
def test_settings_that_cannot_work_are_refused(base, wrong):
    with pytest.raises(InvalidInput):
        Settings(model_base_path=base, **wrong)
