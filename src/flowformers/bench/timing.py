"""One scenario: the peers in turn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from flowformers.bench import records
from flowformers.bench.machine import Meter
from flowformers.bench.pool import Pool
from flowformers.bench.process import Process
from flowformers.bench.records import Timing
from flowformers.bench.scenarios import Case, Scenario
from flowformers.bench.setup import Quiet, Setup
from flowformers.bench.workers.lines import write_requests
from flowformers.progress import steps

# Long enough for a clock, short enough for many rounds.
ROUND_SECONDS, MOST_CALLS = 0.3, 40
# A turn in which others took more than this share of the CPU is tried again, so often in all.
DISTURBED, TRIES = 0.05, 3


def run_scenario(
    scenario: Scenario, cases: Sequence[Case], names: Sequence[str], setup: Setup, pool: Pool, out: TextIO
) -> None:
    """Time the peers on the cases and write every record to out."""
    running = {}
    for started in pool.of(names):
        records.write(replace(started.participant, scenario=scenario.name), out)
        if started.process is not None:
            running[started.participant.peer] = started.process
    with setup.quiet() as quiet:
        for timing in _timings(scenario, cases, running, setup, quiet):
            records.write(timing, out)


def _timings(
    scenario: Scenario, cases: Sequence[Case], running: Mapping[str, Process], setup: Setup, quiet: Quiet
) -> Iterator[Timing]:
    """Case by case, round by round, the peers in turn; each round begins with another peer."""
    inputs = setup.scratch / "case.npz"
    for case in steps(cases, scenario.title):
        write_requests(inputs, case.arrays(setup.vocabulary))
        quiet.pause()
        calls = {name: _calls(process, case, inputs) for name, process in running.items()}
        for number in range(setup.rounds):
            quiet.pause()
            for name in turn(list(running), number):
                seconds, others = _undisturbed(running[name], inputs, calls[name])
                yield Timing(scenario.name, case.name, name, number, seconds, others)


def _undisturbed(process: Process, inputs: Path, calls: int) -> tuple[tuple[float, ...], float | None]:
    """Seconds of each pass, and the share of the CPU that others took: the least disturbed of a few tries."""
    tries = []
    for _ in range(TRIES):
        meter = Meter(process.pid)
        seconds = tuple(process.ask("time", inputs=str(inputs), calls=calls)["seconds"])
        tries.append((seconds, meter.others()))
        if (tries[-1][1] or 0.0) <= DISTURBED:
            break
    return min(tries, key=lambda one: one[1] or 0.0)


def _calls(process: Process, case: Case, inputs: Path) -> int:
    """How many passes make a round, found in an untimed pass that also warms the engine up for the case's shapes.

    A heavy case gets neither: a pass takes seconds, and shapes are warm from smaller batches.
    """
    if case.heavy:
        return 1
    seconds = float(process.ask("time", inputs=str(inputs), calls=1)["seconds"][0])
    return max(1, min(MOST_CALLS, round(ROUND_SECONDS / seconds)))


def turn(names: Sequence[str], number: int) -> list[str]:
    """The order of round `number`: everybody is first equally often."""
    start = number % len(names) if names else 0
    return [*names[start:], *names[:start]]
