"""What the server adds to a call: a tiny model in this process, over REST and over gRPC; then 16 clients at once."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from flowformers.bench.measures import exports, load
from flowformers.bench.records import Measure
from flowformers.bench.setup import Setup
from flowformers.bench.statistics import percentile

CALLS, CLIENTS, SECONDS = 1000, 16, 10.0


def measure(setup: Setup) -> Iterator[Measure]:
    """The model is a 2-layer BERT of width 16, the request one row of 16 tokens."""
    setup.scratch.mkdir(parents=True, exist_ok=True)
    base = exports.classifier(setup.scratch / "tiny", exports.TINY)
    inputs = exports.row(16)
    call = exports.in_process(base, setup.threads)
    inside = _p50(load.latencies(lambda body: call(inputs), [b""], CALLS))
    yield Measure("server", "in this process, p50", inside, "ms")
    threads = f"--tensorflow_intra_op_parallelism={setup.threads}"
    with load.serving(base, setup.scratch / "server.log", threads) as ports:
        rest = _p50(load.latencies(load.rest_call(ports.rest), [exports.as_json(inputs)], CALLS))
        yield Measure("server", "added by REST, p50", rest - inside, "ms", at_most=1.0)
        body = exports.as_proto(inputs)
        remote = _p50(load.latencies(load.grpc_call(ports.grpc), [body], CALLS))
        yield Measure("server", "added by gRPC, p50", remote - inside, "ms", at_most=0.8)
        rate, times = load.concurrently(ports.grpc, [body], clients=CLIENTS, seconds=SECONDS)
    yield Measure("server", f"gRPC, {CLIENTS} clients", rate, "requests/s", at_least=3000)
    yield Measure("server", f"gRPC, {CLIENTS} clients, p50", _p50(times), "ms")
    yield Measure("server", f"gRPC, {CLIENTS} clients, p99", percentile(times, 0.99) * 1000, "ms")


def _p50(seconds: list[float]) -> float:
    return median(seconds) * 1000
