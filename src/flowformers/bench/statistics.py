"""From seconds to numbers in a table: medians of rounds, their spread, ratios."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from flowformers.bench.records import Timing


@dataclass(frozen=True)
class Result:
    """One cell: the median over rounds of each round's median, and the rounds' range over that median."""

    seconds: float
    spread: float
    rounds: int


def results(timings: Iterable[Timing]) -> dict[tuple[str, str], Result]:
    """(case, peer) -> result."""
    rounds: dict[tuple[str, str], list[float]] = defaultdict(list)
    for timing in timings:
        rounds[timing.case, timing.peer].append(median(timing.seconds))
    return {key: summarise(values) for key, values in rounds.items()}


def summarise(values: Sequence[float]) -> Result:
    """values: seconds, one of each round."""
    middle = median(values)
    return Result(middle, (max(values) - min(values)) / middle, len(values))


def geometric_mean(values: Sequence[float]) -> float:
    """Of positive numbers."""
    return math.exp(math.fsum(math.log(value) for value in values) / len(values))


def mean_speed(
    table: Mapping[tuple[str, str], Result], cases: Sequence[str], peer: str, reference: str
) -> float | None:
    """Geometric mean over the cases of the reference's time over the peer's; None where one of them was not timed."""
    keys = [((case, peer), (case, reference)) for case in cases]
    if not all(own in table and other in table for own, other in keys):
        return None
    return geometric_mean([table[other].seconds / table[own].seconds for own, other in keys])


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
