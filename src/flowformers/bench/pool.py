"""The engines' processes: started when a scenario needs them, checked, kept while the next ones need them too."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from flowformers.bench.environments import python_of
from flowformers.bench.peers import ENVIRONMENTS, PEERS, Peer
from flowformers.bench.process import Process
from flowformers.bench.records import Participant
from flowformers.bench.scenarios import Case
from flowformers.bench.setup import Setup
from flowformers.bench.workers.lines import write_requests
from flowformers.errors import PeerUnavailable
from flowformers.progress import stage
from flowformers.types import Array

TRUTH = "flowformers-eager"
ONNX_EXPORT = Peer("onnx-export", "ONNX export", "pytorch", "onnx_export", "eager")
TOLERANCE = 1e-4
CHECK = Case("check", ((7, 19, 4), (1,), (33,)))


@dataclass(frozen=True)
class Started:
    """A peer's process, and what to report of it; no process where it can't take part."""

    process: Process | None
    participant: Participant


class Pool:
    """For a `with` block that ends every process. truth: what truth() gave."""

    def __init__(self, setup: Setup, truth: Sequence[Array]) -> None:
        self._setup, self._truth = setup, truth
        self._started: dict[str, Started] = {}

    def of(self, names: Sequence[str]) -> list[Started]:
        """The peers of a scenario, in order; processes of others end."""
        for name in set(self._started) - set(names):
            self._end(name)
        for name in names:
            if name not in self._started:
                with stage(f"Starting {PEERS[name].label}"):
                    self._started[name] = start(PEERS[name], self._setup, self._truth)
                print(told(self._started[name].participant), file=sys.stderr)
        return [self._started[name] for name in names]

    def clear(self) -> None:
        """End every process."""
        for name in list(self._started):
            self._end(name)

    def _end(self, name: str) -> None:
        process = self._started.pop(name).process
        if process is not None:
            process.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.clear()


def told(participant: Participant) -> str:
    """A line for the person who waits."""
    label, difference = PEERS[participant.peer].label, participant.difference
    if participant.reason:
        return f"{label} takes no part: {participant.reason}"
    return f"{label}: ready" if difference is None else f"{label}: ready, differs by {difference:.1e} from flowformers"


def truth(setup: Setup) -> list[Array]:
    """flowformers' float32 answers to CHECK, outside any exported graph."""
    setup.scratch.mkdir(parents=True, exist_ok=True)
    with stage("Asking flowformers for the answers to compare with"), _process(PEERS[TRUTH], setup) as process:
        _load(process, PEERS[TRUTH], setup)
        return _answers(process, TRUTH, setup)


def start(peer: Peer, setup: Setup, truth: Sequence[Array]) -> Started:
    """Convert, load, compare. Raises nothing: what goes wrong is the participant's reason."""
    process = None
    try:
        if peer.needs_onnx and not (setup.scratch / "model.onnx").is_file():
            _prepare(ONNX_EXPORT, setup)
        _prepare(peer, setup)
        begin = time.perf_counter()
        process = _process(peer, setup)
        versions = _load(process, peer, setup)
        seconds = time.perf_counter() - begin
        difference = _difference(_answers(process, peer.name, setup), truth) if peer.answers else None
        _require_equal(peer, difference)
        memory = process.ask("memory")
    except PeerUnavailable as error:
        if process is not None:
            process.close()
        return Started(None, Participant(peer.name, reason=str(error)))
    return Started(process, Participant(peer.name, versions=versions, difference=difference, start=seconds, **memory))


def _process(peer: Peer, setup: Setup) -> Process:
    python = python_of(ENVIRONMENTS[peer.environment], setup.environments)
    return Process(python, peer.worker, log=setup.scratch / "logs" / f"{peer.name}.txt", threads=setup.threads)


def _prepare(peer: Peer, setup: Setup) -> None:
    """Convert the model for the engine in a process that ends with it."""
    with _process(peer, setup) as process:
        process.ask("prepare", **_order(peer, setup))


def _load(process: Process, peer: Peer, setup: Setup) -> dict[str, str]:
    versions: dict[str, str] = process.ask("load", **_order(peer, setup))["versions"]
    return versions


def _order(peer: Peer, setup: Setup) -> dict[str, Any]:
    return {
        "folder": str(setup.model),
        "variant": peer.variant,
        "threads": setup.threads,
        "scratch": str(setup.scratch),
    }


def _answers(process: Process, name: str, setup: Setup) -> list[Array]:
    inputs, outputs = setup.scratch / "check.npz", setup.scratch / f"answers-{name}.npz"
    write_requests(inputs, CHECK.arrays(setup.vocabulary))
    process.ask("answer", inputs=str(inputs), outputs=str(outputs))
    with np.load(outputs) as file:
        return [file[key] for key in file.files]


def _difference(answers: Sequence[Array], truth: Sequence[Array]) -> float:
    """The largest absolute difference at real tokens; infinite where shapes differ or a value is no number."""
    largest = 0.0
    for rows, answer, expected in zip(CHECK.requests, answers, truth, strict=True):
        if answer.shape != expected.shape:
            return float("inf")
        for row, length in enumerate(rows):
            apart = np.abs(answer[row, :length] - expected[row, :length])
            largest = max(largest, float(np.max(apart)) if np.all(np.isfinite(apart)) else float("inf"))
    return largest


def _require_equal(peer: Peer, difference: float | None) -> None:
    if peer.precision == "fp32" and difference is not None and difference > TOLERANCE:
        raise PeerUnavailable(
            f"not comparable: hidden states differ by {difference:.2g} from flowformers; rounding is {TOLERANCE:g}"
        )
