"""What the server adds to a call: a tiny model in this process, over REST and over gRPC; then 16 clients at once.

And how long a model of MiniLM's size, with text, takes to be ready.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from statistics import median

from flowformers.bench.measures import exports, load
from flowformers.bench.measures.words import tokenizer_folder
from flowformers.bench.records import Measure
from flowformers.bench.setup import Setup
from flowformers.bench.statistics import percentile

ROUNDS, CALLS, CLIENTS, SECONDS = 20, 50, 16, 10.0


def measure(setup: Setup) -> Iterator[Measure]:
    """The model is a 2-layer BERT of width 16, the request one row of 16 tokens."""
    setup.scratch.mkdir(parents=True, exist_ok=True)
    base = exports.classifier(setup.scratch / "tiny", exports.TINY)
    inputs = exports.row(16)
    call = exports.in_process(base, setup.threads)
    threads = f"--tensorflow_intra_op_parallelism={setup.threads}"
    with load.serving(base, setup.scratch / "server.log", threads) as ports:
        rest, remote = load.rest_call(ports.rest), load.grpc_call(ports.grpc)
        text, body = exports.as_json(inputs), exports.as_proto(inputs)
        calls = [lambda: call(inputs), lambda: rest(text), lambda: remote(body)]
        inside, *served = load.in_turn(calls, rounds=ROUNDS, count=CALLS)
        yield Measure("server", "in this process, p50", median(inside) * 1000, "ms")
        for name, found, limit in zip(("REST", "gRPC"), served, (1.0, 0.8), strict=True):
            added = median(whole - alone for whole, alone in zip(found, inside, strict=True)) * 1000
            yield Measure("server", f"added by {name}, p50", added, "ms", at_most=limit)
        rate, times = load.concurrently(ports.grpc, [body], clients=CLIENTS, seconds=SECONDS)
    yield Measure("server", f"gRPC, {CLIENTS} clients", rate, "requests/s", at_least=3000)
    yield Measure("server", f"gRPC, {CLIENTS} clients, p50", _p50(times), "ms")
    yield Measure("server", f"gRPC, {CLIENTS} clients, p99", percentile(times, 0.99) * 1000, "ms")
    yield _start(setup)


def _start(setup: Setup) -> Measure:
    """From the server's start to readiness, beyond what importing TensorFlow alone takes just after."""
    from flowformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder(setup))
    base = exports.classifier(setup.scratch / "small", exports.SMALL, tokenizer=tokenizer)

    seconds = []
    for _ in range(setup.rounds):
        with load.serving(base, setup.scratch / "start.log") as ports:
            seconds.append(ports.ready - _import_seconds())
    return Measure("server", "ready, beyond TensorFlow's import", median(seconds), "s", at_most=1.5)


def _import_seconds() -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import tensorflow"], check=True, capture_output=True)
    return time.perf_counter() - start


def _p50(seconds: list[float]) -> float:
    return median(seconds) * 1000
