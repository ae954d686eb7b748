"""32 clients with one sentence each, over gRPC: run alone, joined by the server, and joined in the graph."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from flowformers.bench.measures import exports, load
from flowformers.bench.records import Measure
from flowformers.bench.scenarios import Case, sentence_lengths
from flowformers.bench.setup import Setup
from flowformers.bench.statistics import percentile

CLIENTS, SECONDS = 32, 20.0
SIZES: dict[str, int] = {}
PARAMETERS = """\
max_batch_size { value: 32 }
batch_timeout_micros { value: 0 }
max_enqueued_batches { value: 64 }
num_batch_threads { value: 1 }
"""


def measure(setup: Setup) -> Iterator[Measure]:
    """A BERT-base classifier; sentences of the lengths of movie reviews, each with an answer of its own."""
    from flowformers.export import Batching, Graph

    setup.scratch.mkdir(parents=True, exist_ok=True)
    base = exports.classifier(setup.scratch / "base", SIZES)
    rows = [exports.row(length) for length in sentence_lengths()[: 8 * CLIENTS]]
    alone = yield from _served(setup, base, rows, "requests alone")
    parameters = setup.scratch / "batching.pbtxt"
    parameters.write_text(PARAMETERS, encoding="utf-8")
    flags = ("--enable_batching=true", f"--batching_parameters_file={parameters}")
    before = _in_process(setup, base)
    joined = yield from _served(setup, base, rows, "--enable_batching", *flags)
    limit = median(before + _in_process(setup, base))  # on both sides: the clock of a machine wanders
    yield Measure("batching", f"in this process, batches of {CLIENTS}", limit, "sentences/s")
    yield Measure("batching", "--enable_batching over in this process", joined / limit, "x", at_least=0.95)
    yield Measure("batching", "--enable_batching over requests alone", joined / alone, "x", at_least=2.5)
    own = exports.classifier(setup.scratch / "own", SIZES, graph=Graph(batching=Batching(max_batch_size=CLIENTS)))
    inside = yield from _served(setup, own, rows, "export --batching")
    yield Measure("batching", "export --batching over requests alone", inside / alone, "x", at_least=2.5)


def _served(
    setup: Setup, base: Path, rows: Sequence[dict[str, Any]], name: str, *flags: str
) -> Generator[Measure, None, float]:
    """Yields the measures of one server; returns its requests a second."""
    bodies = [exports.as_proto(row) for row in rows]
    threads = f"--tensorflow_intra_op_parallelism={setup.threads}"
    with load.serving(base, setup.scratch / "server.log", threads, *flags) as ports:
        rate, times = load.concurrently(ports.grpc, bodies, clients=CLIENTS, seconds=SECONDS)
    half, most = median(times), percentile(times, 0.99)
    yield Measure("batching", f"{name}, {CLIENTS} clients", rate, "sentences/s")
    yield Measure("batching", f"{name}, p50", half * 1000, "ms")
    yield Measure("batching", f"{name}, p99 over p50", most / half, "x", at_most=3.0)
    return rate


def _in_process(setup: Setup, base: Path) -> list[float]:
    """Sentences a second of each batch as they come, padded to the longest, without a server."""
    call = exports.in_process(base, setup.threads)
    lengths = sentence_lengths()
    batches = [lengths[start : start + CLIENTS] for start in range(0, 8 * CLIENTS, CLIENTS)]
    arrays = Case("batches", tuple(batches)).arrays(30000)
    rates = []
    for ids, mask in arrays:
        start = time.perf_counter()
        call({"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)})
        rates.append(len(ids) / (time.perf_counter() - start))
    return rates
