"""Servers to ask: a real one with arithmetic, one with a text model, and one that answers by script."""

from __future__ import annotations

import asyncio
import contextlib
import json
import string
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import pytest

import flowformers
from flowformers.client import AsyncClient, Client
from flowformers.wire import prediction_service_pb2_grpc
from tests.conftest import tiny_config
from tests.serving.conftest import arithmetic, serve  # noqa: F401  a fixture of the server's own tests
from tests.text.test_graph import make


class Awaited:
    """An AsyncClient as if it were a Client, so that one test holds for both."""

    def __init__(self, url, **options):
        self._loop, self._client = asyncio.new_event_loop(), AsyncClient(url, **options)

    def __getattr__(self, name):
        method = getattr(self._client, name)
        return lambda *args, **options: self._loop.run_until_complete(method(*args, **options))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._loop.run_until_complete(self._client.close())
        self._loop.close()


@pytest.fixture(params=["rest", "rest-async", "grpc", "grpc-async"])
def kind(request):
    return request.param


def made(kind, server, model, **options):
    """A client of that kind for a running server."""
    url = f"grpc://127.0.0.1:{server.grpc_port}" if kind.startswith("grpc") else f"http://127.0.0.1:{server.rest_port}"
    return (Awaited if kind.endswith("async") else Client)(url, model=model, **options)


@pytest.fixture
def math(kind, arithmetic):  # noqa: F811
    with made(kind, arithmetic, "math") as client:
        yield client


@dataclass(frozen=True)
class Words:
    """A running server of a classifier with text signatures, and its checkpoint."""

    rest_port: int
    grpc_port: int
    checkpoint: Path


@pytest.fixture(scope="session")
def words(tmp_path_factory):
    """The model "words": every letter is a token."""
    folder = tmp_path_factory.mktemp("words")
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *string.printable.lower()]
    vocab = {token: number for number, token in enumerate(dict.fromkeys(tokens + [f"##{one}" for one in tokens]))}
    tokenizer = make(flowformers.BertTokenizerFast, vocab, lowercase=True)
    names = {0: "good", 1: "bad", 2: "ügly"}
    config = tiny_config(vocab_size=300, num_labels=3, id2label=names, max_position_embeddings=130)
    model = flowformers.TFBertForSequenceClassification(config)
    model.save_pretrained(folder, saved_model=True, tokenizer=tokenizer)
    tokenizer.save_pretrained(folder)
    with serve(folder / "saved_model", model_name="words") as server:
        yield Words(server.rest_port, server.grpc_port, folder)


@dataclass
class Late:
    """An answer that is held back until `go` is set; `asked` is set when somebody waits for it."""

    answer: Any
    asked: threading.Event = field(default_factory=threading.Event)
    go: threading.Event = field(default_factory=threading.Event)

    def wait(self):
        self.asked.set()
        self.go.wait(10)
        return self.answer


@dataclass
class Script:
    """Answers in order, then the last one for ever; what came in is kept. A Late answer waits for its time."""

    answers: list[Any]
    seen: list[Any] = field(default_factory=list)

    def next(self, request):
        self.seen.append(request)
        answer = self.answers[min(len(self.seen), len(self.answers)) - 1]
        return answer.wait() if isinstance(answer, Late) else answer


@contextlib.contextmanager
def http_script(*answers):
    """(port, script). An answer is (status, headers, body as bytes or JSON)."""
    script = Script(list(answers))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            status, headers, content = script.next((self.path, dict(self.headers), body))
            content = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            for name, value in {"content-length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        # The interval is what shutdown() waits for.
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        yield server.server_port, script
        server.shutdown()


@contextlib.contextmanager
def grpc_script(*answers):
    """(port, script). An answer is (code, text, trailing metadata) or a PredictResponse."""
    script = Script(list(answers))

    class Servicer:
        def Predict(self, request, context):
            answer = script.next(dict(context.invocation_metadata()))
            if isinstance(answer, tuple):
                context.set_trailing_metadata(answer[2])
                context.abort(answer[0], answer[1])
            return answer

        Classify = Regress = MultiInference = GetModelMetadata = Predict

    server = grpc.server(ThreadPoolExecutor(4))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Servicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port, script
    server.stop(None).wait()
