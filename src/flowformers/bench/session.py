"""A plan, carried out: one file of JSON lines."""

from __future__ import annotations

import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from flowformers.bench import machine, records
from flowformers.bench.environments import python_of
from flowformers.bench.measures import MEASURES, run_measure
from flowformers.bench.peers import ENVIRONMENTS
from flowformers.bench.plan import Plan
from flowformers.bench.pool import Pool, truth
from flowformers.bench.records import Session
from flowformers.bench.scenarios import SCENARIOS
from flowformers.bench.setup import Setup
from flowformers.bench.timing import run_scenario
from flowformers.errors import PeerUnavailable

RESULTS = "benchmarks"
PLACES = ("--lock", "--out")


def run(plan: Plan, setup: Setup, out: Path) -> Path:
    """Measure, and return the file of results: out/benchmarks/TIME.jsonl."""
    started = datetime.now(UTC)
    path = out / RESULTS / f"{started:%Y%m%dT%H%M%SZ}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        records.write(_session(setup, f"{started:%Y-%m-%dT%H:%M:%SZ}"), file)
        answers = truth(setup) if set(plan.names) & set(SCENARIOS) else []
        with Pool(setup, answers) as pool:
            for name in plan.names:
                _run(name, plan, setup, pool, file)
    return path


def _run(name: str, plan: Plan, setup: Setup, pool: Pool, file: TextIO) -> None:
    if name in MEASURES:
        pool.clear()
        run_measure(name, setup, file)
        return
    cases = SCENARIOS[name].up_to(plan.tokens)
    run_scenario(SCENARIOS[name], cases, plan.peers_of(name), setup, pool, file)


def _session(setup: Setup, started: str) -> Session:
    fields = ("model_type", "num_hidden_layers", "hidden_size", "intermediate_size", "num_attention_heads")
    model = {"name": setup.model.name} | {name: setup.config[name] for name in fields}
    return Session(started, command(sys.argv), setup.threads, setup.rounds, model, machine.describe())


def command(argv: list[str]) -> str:
    """The command as typed, without places on this machine."""
    words, skip = [], False
    for word in argv[1:]:
        if not skip and word not in PLACES:
            words.append(word)
        skip = word in PLACES
    return shlex.join(["flowformers", *words])


def set_up(cache: Path) -> str:
    """Make every peer's environment; a line for each that says how it went."""
    lines = []
    for environment in ENVIRONMENTS.values():
        try:
            lines.append(f"{environment.name}: {python_of(environment, cache / 'environments', retry=True)}")
        except PeerUnavailable as error:
            lines.append(f"{environment.name}: {error}")
    return "\n".join(lines)
