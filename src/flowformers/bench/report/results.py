"""The records of one scenario, put together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from flowformers.bench.measures import MEASURES
from flowformers.bench.peers import PEERS
from flowformers.bench.records import Measure, Participant, Record, Session, Timing
from flowformers.bench.scenarios import SCENARIOS, Case
from flowformers.bench.statistics import Result, mean_speed, results


@dataclass
class Outcome:
    """What one session found in one scenario."""

    name: str
    session: Session
    timings: list[Timing] = field(default_factory=list)
    participants: list[Participant] = field(default_factory=list)
    measures: list[Measure] = field(default_factory=list)

    @property
    def title(self) -> str:
        """In words."""
        return SCENARIOS[self.name].title if self.name in SCENARIOS else MEASURES[self.name].title

    @property
    def table(self) -> Mapping[tuple[str, str], Result]:
        """(case, peer) -> result."""
        return results(self.timings)

    @property
    def cases(self) -> list[Case]:
        """Those timed, in the scenario's order."""
        timed = {timing.case for timing in self.timings}
        return [case for case in SCENARIOS[self.name].cases if case.name in timed]

    @property
    def peers(self) -> list[str]:
        """Those timed that compute the model, in the order in which they took part."""
        return [name for name in self._timed if PEERS[name].answers]

    @property
    def ceiling(self) -> str | None:
        """The name of the ceiling that was timed, if one was."""
        return next((name for name in self._timed if not PEERS[name].answers), None)

    @property
    def _timed(self) -> list[str]:
        return list(dict.fromkeys(timing.peer for timing in self.timings))

    @property
    def reference(self) -> str:
        """The peer that speed is relative to: the scenario's, or the first."""
        wanted = SCENARIOS[self.name].reference
        return wanted if wanted in self.peers else self.peers[0]

    def speed(self, peer: str) -> float | None:
        """Geometric mean over all cases, relative to the reference."""
        return mean_speed(self.table, [case.name for case in self.cases], peer, self.reference)


def by_scenario(records: Iterable[Record]) -> dict[str, Outcome]:
    """Scenario -> its newest outcome, in the order of the catalogue."""
    newest: dict[str, Outcome] = {}
    session: Session | None = None
    for record in records:
        if isinstance(record, Session):
            session = record
        elif session is not None:
            outcome = newest.get(record.scenario)
            if outcome is None or outcome.session.started < session.started:
                outcome = newest[record.scenario] = Outcome(record.scenario, session)
            if outcome.session is session:
                _add(outcome, record)
    return {name: newest[name] for name in (*SCENARIOS, *MEASURES) if name in newest}


def _add(outcome: Outcome, record: Timing | Participant | Measure) -> None:
    if isinstance(record, Timing):
        outcome.timings.append(record)
    elif isinstance(record, Participant):
        outcome.participants.append(record)
    else:
        outcome.measures.append(record)


def flops(case: Case, model: Mapping[str, int]) -> float:
    """Floating-point operations of a case's real tokens: dense products, and each row's two attention products."""
    width, inner, layers = model["hidden_size"], model["intermediate_size"], model["num_hidden_layers"]
    return layers * (dense_per_token(width, inner) * case.tokens + 4 * width * _squares(case))


def dense_flops(case: Case, model: Mapping[str, int]) -> float:
    """Without the attention products: what the ceiling computes."""
    width, inner = model["hidden_size"], model["intermediate_size"]
    return model["num_hidden_layers"] * dense_per_token(width, inner) * case.tokens


def dense_per_token(width: int, inner: int) -> float:
    """Of one layer: four products of the hidden width, two with the feed-forward's."""
    return 2.0 * (4 * width * width + 2 * width * inner)


def _squares(case: Case) -> int:
    return sum(length * length for rows in case.requests for length in rows)
