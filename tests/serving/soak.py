"""Load for a server while its models change: paced clients that check every answer, and what happens meanwhile."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import statistics
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import numpy as np
import tensorflow as tf

from flowformers.wire import (
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

TOLERANCE = 1e-5
THREADS = 8
PATIENCE = 300  # seconds: a machine that stands still for a while is no failure of the server


@dataclass(frozen=True)
class Question:
    """Rows of one length, and what each model answers: {0: logits of even versions, 1: of odd ones}."""

    inputs: dict[str, np.ndarray]
    answers: dict[int, np.ndarray]


@dataclass
class Load:
    """Clients on both ports; each sends its next request when it is due and the last one is answered."""

    rest_port: int
    grpc_port: int
    questions: list[Question]
    name: str = "bert"
    rate: float = 1e9  # requests a second, of all clients together
    answered: int = 0
    failures: list[str] = field(default_factory=list)
    slowest: float = 0.0

    def run(self, stop: threading.Event) -> None:
        """Until stop is set."""
        lock = threading.Lock()
        asks = [self._rest_asker() if index % 2 else self._grpc_asker() for index in range(THREADS)]

        def work(index: int) -> None:
            random, due = np.random.default_rng(index), time.monotonic()
            while not stop.is_set():
                due = max(due + THREADS / self.rate, time.monotonic() - 1)
                stop.wait(max(0.0, due - time.monotonic()))
                question, began = self.questions[random.integers(len(self.questions))], time.monotonic()
                try:
                    wrong = asks[index](question)
                except Exception as error:
                    wrong = f"{type(error).__name__}: {error}"
                with lock:
                    self.answered += 1
                    self.slowest = max(self.slowest, time.monotonic() - began)
                    if wrong:
                        self.failures.append(wrong)

        threads = [threading.Thread(target=work, args=(index,)) for index in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _rest_asker(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.rest_port, timeout=PATIENCE)

        def ask(question: Question) -> str | None:
            columns = {name: value.tolist() for name, value in question.inputs.items()}
            connection.request("POST", f"/v1/models/{self.name}:predict", json.dumps({"inputs": columns}))
            answer = connection.getresponse()
            content = answer.read()
            if answer.status != 200:
                return f"REST {answer.status}: {content[:200]!r}"
            logits = np.asarray(json.loads(content)["outputs"])
            fits = [close(logits, expected) for expected in question.answers.values()]
            return None if any(fits) else f"REST: wrong answer {logits.tolist()}"

        return ask

    def _grpc_asker(self):
        stub = prediction_service_pb2_grpc.PredictionServiceStub(grpc.insecure_channel(f"127.0.0.1:{self.grpc_port}"))

        def ask(question: Question) -> str | None:
            request = predict_pb2.PredictRequest()
            request.model_spec.name = self.name
            for name, value in question.inputs.items():
                request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
            answer = stub.Predict(request, timeout=PATIENCE)
            logits, version = tf.make_ndarray(answer.outputs["logits"]), answer.model_spec.version.value
            if not close(logits, question.answers[version % 2]):
                return f"gRPC: wrong answer of version {version}: {logits.tolist()}"
            return None

        return ask


def close(found: np.ndarray, expected: np.ndarray) -> bool:
    return found.shape == expected.shape and bool(np.abs(found - expected).max() <= TOLERANCE)


def capacity(load: Load, seconds: float) -> float:
    """Requests a second that the server answers when the clients do not pause."""
    stop = threading.Event()
    timer = threading.Timer(seconds, stop.set)
    timer.start()
    load.run(stop)
    assert not load.failures, load.failures[0]
    return load.answered / seconds


def put(source: Path, base: Path, version: int) -> None:
    """A new version, complete at the moment it appears."""
    shutil.copytree(source, base.parent / f"fresh{version}")
    (base.parent / f"fresh{version}").rename(base / str(version))


def put_corrupt(source: Path, base: Path, version: int) -> None:
    shutil.copytree(source, base.parent / "corrupt")
    content = (base.parent / "corrupt" / "saved_model.pb").read_bytes()
    (base.parent / "corrupt" / "saved_model.pb").write_bytes(content[: len(content) // 2])
    (base.parent / "corrupt").rename(base / str(version))


def disconnect(rest_port: int, name: str) -> None:
    """Two clients that go: one in the middle of its request, one before its answer."""
    body = json.dumps({"inputs": {"input_ids": [[1] * 30] * 50, "attention_mask": [[1] * 30] * 50}}).encode()
    head = f"POST /v1/models/{name}:predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    for sent in (head + body[:100], head + body):
        with socket.create_connection(("127.0.0.1", rest_port)) as connection:
            connection.sendall(sent)


def reload_config(grpc_port: int, *models: tuple[str, Path]) -> None:
    """Serve exactly these models."""
    request = model_management_pb2.ReloadConfigRequest()
    for name, base in models:
        request.config.model_config_list.config.add(name=name, base_path=str(base), model_platform="tensorflow")
    with grpc.insecure_channel(f"127.0.0.1:{grpc_port}") as channel:
        answer = model_service_pb2_grpc.ModelServiceStub(channel).HandleReloadConfigRequest(request, timeout=PATIENCE)
    assert answer.status.error_code == 0, answer


def resident_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


@dataclass
class Memory:
    """Resident memory of a process, sampled in a thread: (seconds since the start, megabytes)."""

    pid: int
    samples: list[tuple[float, float]] = field(default_factory=list)

    def watch(self, stop: threading.Event) -> None:
        began = time.monotonic()
        while not stop.wait(0.5):
            self.samples.append((time.monotonic() - began, resident_mb(self.pid)))

    def median(self, since: float, until: float) -> float:
        return statistics.median(megabytes for second, megabytes in self.samples if since <= second <= until)
