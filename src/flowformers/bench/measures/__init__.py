"""Measurements that are no table of cases: each runs in a process of its own and gives named numbers."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TextIO

from flowformers.bench import records
from flowformers.bench.machine import Meter
from flowformers.bench.records import Measure, Participant
from flowformers.bench.setup import Setup
from flowformers.bench.workers.tensorflow_threads import limited_to
from flowformers.progress import stage


@dataclass(frozen=True)
class Kind:
    """module: under bench/measures, with `measure(setup) -> Iterator[Measure]`. threads: instead of the setup's."""

    title: str
    module: str
    threads: int | None = None


MEASURES = {
    "loading": Kind("Loading a checkpoint", "loading"),
    "training": Kind("Training without padding", "training"),
    "tokenization": Kind("Text to ids inside the graph", "tokenization", threads=1),
    "text": Kind("Text over REST, against ids from a Python client", "text"),
    "batching": Kind("32 clients, one sentence each", "batching"),
    "server": Kind("The server's own cost", "server"),
}


def run_measure(name: str, setup: Setup, out: TextIO) -> None:
    """Run `python -m flowformers.bench.measures NAME` and write what it prints; a failure is a record too."""
    with stage(MEASURES[name].title), setup.quiet():
        words = [sys.executable, "-m", "flowformers.bench.measures", name, json.dumps(setup.plain())]
        done = subprocess.run(words, capture_output=True, text=True)
    for line in done.stdout.splitlines():
        records.write(Measure(**json.loads(line)), out)
    if done.returncode:
        last = [line for line in done.stderr.splitlines() if line.strip()][-1:]
        records.write(Participant("flowformers", name, f"did not finish: {''.join(last)[:300]}"), out)


def print_measures(name: str, setup: Setup) -> None:
    """In the process of its own."""
    from importlib import import_module

    kind = MEASURES[name]
    threads = kind.threads or setup.threads
    limited_to(threads, ops=threads)  # as TensorFlow itself would choose: data and steps of training need both
    module = import_module(f"flowformers.bench.measures.{kind.module}")
    meter = Meter(os.getpid())
    for measure in module.measure(setup):
        print(json.dumps(dataclasses.asdict(measure)), flush=True)
    others = meter.others()
    if others is not None:
        last = Measure(name, "CPU time that other processes took meanwhile", 100 * others, "%")
        print(json.dumps(dataclasses.asdict(last)), flush=True)
