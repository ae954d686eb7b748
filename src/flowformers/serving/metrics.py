"""What is counted: our own metrics for /metrics, and TensorFlow Serving's under its names (protocol, section 17).

One set of counters for the process, as is usual with Prometheus; buckets are fixed so that servers can be added up.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from flowformers.errors import Kind

OURS, SERVINGS = CollectorRegistry(), CollectorRegistry()
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
LOAD_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
ROWS = tuple(2**power for power in range(11))
SERVINGS_MICROSECONDS = tuple(10 * 1.8**power for power in range(33))
COUNTED = ("Predict", "Classify", "Regress")
SERVINGS_PREFIX = ":tensorflow:serving:"


def _counter(name: str, text: str, *labels: str) -> Counter:
    return Counter(f"flowformers_{name}", text, labels, registry=OURS)


def _gauge(name: str, text: str, *labels: str) -> Gauge:
    return Gauge(f"flowformers_{name}", text, labels, registry=OURS)


def _histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
    return Histogram(f"flowformers_{name}", text, labels, buckets=buckets, registry=OURS)


REQUESTS = _counter("requests", "Requests answered", "model", "protocol", "api", "status")
REQUEST_SECONDS = _histogram("request_seconds", "From head to answer", SECONDS, "model", "protocol", "api")
QUEUE_SECONDS = _histogram("queue_seconds", "Waiting for a thread", SECONDS)
RUN_SECONDS = _histogram("run_seconds", "In the graph, waiting for a batch included", SECONDS, "model")
IN_FLIGHT = _gauge("requests_in_flight", "Requests that are not answered yet", "protocol")
BATCH_ROWS = _histogram("batch_rows", "Rows of the batch that a request ran in", ROWS)
FAILED_BATCHES = _counter("failed_batches", "Requests run again alone because their batch failed")
REFUSED = _counter("refused_requests", "Requests answered at once because a queue was full")
TOKENS = _counter("tokens", "Real tokens in requests with an attention_mask", "model")
PADDING = _counter("padding_tokens", "Positions behind the mask, saved by models that run without padding", "model")
LOADS = _counter("loads", "Versions loaded or failed", "model", "result")
LOAD_SECONDS_TAKEN = _histogram("load_seconds", "Loading and warming up a version", LOAD_SECONDS, "model")
VERSIONS = _gauge("versions_available", "Versions that answer requests", "model")


def _servings_counter(name: str, *labels: str) -> Counter:
    return Counter(SERVINGS_PREFIX + name, name, labels, registry=SERVINGS)


def _servings_histogram(name: str, *labels: str, buckets: tuple[float, ...] = SERVINGS_MICROSECONDS) -> Histogram:
    return Histogram(SERVINGS_PREFIX + name, name, labels, buckets=buckets, registry=SERVINGS)


REQUEST_COUNT = _servings_counter("request_count", "model_name", "status")
REQUEST_LATENCY = _servings_histogram("request_latency", "model_name", "API", "entrypoint")
RUNTIME_LATENCY = _servings_histogram("runtime_latency", "model_name", "API", "runtime")
WARMUP_LATENCY = _servings_histogram("model_warmup_latency", "model_path", "status")
WARMUP_RECORDS = _servings_counter("model_warmup_records_read", "model_path", "status")
WRAPPED_RUNS = _servings_counter("batching_session:wrapped_run_count")
INPUT_BATCH = _servings_histogram("batching_session:input_batch_size", buckets=ROWS)
PROCESSED_BATCH = _servings_histogram("batching_session:processed_batch_size", buckets=ROWS)
LOAD_ATTEMPTS = Counter(
    ":tensorflow:cc:saved_model:load_attempt_count", "loads", ["model_path", "status"], registry=SERVINGS
)


_known: set[str] = set()


def answered(model: str, protocol: str, api: str, kind: Kind, seconds: float, ran: float) -> None:
    """A request was answered. A name that no model has ever had is counted as "": clients could invent any number."""
    series = _series(model if model in _known else "", protocol, api, kind)
    for counter in series.counters:
        counter.inc()
    series.seconds.observe(seconds)
    if series.latency is not None:
        series.latency.observe(seconds * 1e6)
    if ran:
        series.run_seconds.observe(ran)
        series.runtime_latency.observe(ran * 1e6)


@dataclass(frozen=True)
class _Series:
    """What a request of one kind adds to. TensorFlow Serving counts no status or metadata over gRPC."""

    counters: tuple[Counter, ...]
    seconds: Histogram
    run_seconds: Histogram
    runtime_latency: Histogram
    latency: Histogram | None


@cache
def _series(model: str, protocol: str, api: str, kind: Kind) -> _Series:
    counted = protocol == "REST" or api in COUNTED
    return _Series(
        (REQUESTS.labels(model, protocol, api, kind.name), *([REQUEST_COUNT.labels(model, kind.name)] * counted)),
        REQUEST_SECONDS.labels(model, protocol, api),
        RUN_SECONDS.labels(model),
        RUNTIME_LATENCY.labels(model, api[:1].upper() + api[1:], "TF1"),
        REQUEST_LATENCY.labels(model, api, protocol) if counted and kind is Kind.OK else None,
    )


@cache
def in_flight(protocol: str) -> Gauge:
    """The gauge of REST or GRPC."""
    return IN_FLIGHT.labels(protocol)


def tokens(model: str, real: int, positions: int) -> None:
    """A request with so many real tokens among so many positions."""
    counted, padded = _token_counters(model)
    counted.inc(real)
    padded.inc(positions - real)


@cache
def _token_counters(model: str) -> tuple[Counter, Counter]:
    return TOKENS.labels(model), PADDING.labels(model)


def batched(rows: int, batch: int) -> None:
    """A request of so many rows was answered in a batch of so many."""
    BATCH_ROWS.observe(batch)
    WRAPPED_RUNS.inc()
    INPUT_BATCH.observe(rows)
    PROCESSED_BATCH.observe(batch)


def loaded(model: str, path: str, seconds: float, *, failed: bool) -> None:
    """A load has ended."""
    _known.add(model)
    LOADS.labels(model, "failure" if failed else "success").inc()
    LOAD_ATTEMPTS.labels(path, "fail" if failed else "success").inc()
    if not failed:
        LOAD_SECONDS_TAKEN.labels(model).observe(seconds)


def warmed_up(path: str, status: str, seconds: float, records: int) -> None:
    """A version's warm-up requests were run."""
    WARMUP_LATENCY.labels(path, status).observe(seconds * 1e6)
    WARMUP_RECORDS.labels(path, status).inc(records)


def first_cells(names: Iterable[str]) -> dict[str, int]:
    """Counters by TensorFlow Serving's names, as "/tensorflow/serving/request_count": each one's first value, or 0."""
    counters = {metric.name: metric.samples for metric in SERVINGS.collect() if metric.type == "counter"}
    return {name: next((int(one.value) for one in counters.get(_plain(name), ())), 0) for name in names}


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]", ":", name)


def ours() -> bytes:
    """Prometheus' text format."""
    return generate_latest(OURS)


def servings() -> bytes:
    """TensorFlow Serving's text: its names have colons and no _total, and there are no HELP lines."""
    return "".join(_servings_lines()).encode()


def _servings_lines() -> Iterator[str]:
    for metric in SERVINGS.collect():
        yield f"# TYPE {metric.name} {metric.type}\n"
        for sample in metric.samples:
            if sample.name.endswith("_created"):
                continue
            labels = ",".join(f'{name}="{_escaped(value)}"' for name, value in sample.labels.items())
            name = sample.name.removesuffix("_total") if metric.type == "counter" else sample.name
            yield f"{name}{{{labels}}} {sample.value:.17g}\n"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
