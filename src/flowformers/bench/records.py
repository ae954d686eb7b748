"""What a run writes: JSON lines, one record each, so that a run that is cut short keeps what it measured."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO

from flowformers.errors import InvalidInput


@dataclass(frozen=True)
class Session:
    """One run of the command. Every record behind it, up to the next one, belongs to it."""

    started: str
    command: str
    threads: int
    rounds: int
    model: Mapping[str, Any]
    machine: Mapping[str, Any]


@dataclass(frozen=True)
class Participant:
    """A peer that took part, or why it did not. difference: largest absolute one of the hidden states to flowformers
    in float32, at real tokens. start: seconds from the process' start to loaded. Memory in bytes."""

    peer: str
    scenario: str = ""
    reason: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    difference: float | None = None
    start: float | None = None
    peak: int | None = None
    resident: int | None = None


@dataclass(frozen=True)
class Timing:
    """Seconds of each pass over a case's requests, in one round. others: the share of the machine's CPU time that other
    processes took meanwhile; None where the system does not tell."""

    scenario: str
    case: str
    peer: str
    round: int
    seconds: tuple[float, ...]
    others: float | None = None


@dataclass(frozen=True)
class Measure:
    """One number that is no cell of a table, with what it should be at most or at least where that was promised."""

    scenario: str
    name: str
    value: float
    unit: str
    at_most: float | None = None
    at_least: float | None = None

    @property
    def kept(self) -> bool | None:
        """Whether the promise holds; None where there is none."""
        if self.at_most is not None:
            return self.value <= self.at_most
        return None if self.at_least is None else self.value >= self.at_least


Record = Session | Participant | Timing | Measure
KINDS: dict[str, Any] = {kind.__name__.lower(): kind for kind in (Session, Participant, Timing, Measure)}


def write(record: Record, out: TextIO) -> None:
    """One line, at once."""
    line = {"record": type(record).__name__.lower(), **asdict(record)}
    out.write(json.dumps(line, ensure_ascii=False) + "\n")
    out.flush()


def read(paths: Iterable[Path]) -> list[Record]:
    """The records of all files, in order. Raises InvalidInput that names file and line."""
    return [record for path in paths for record in _records(path)]


def _records(path: Path) -> Iterator[Record]:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            fields = json.loads(line)
            kind = KINDS[fields.pop("record")]
            fields = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
            yield kind(**fields)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidInput(f"expected a line that `flowformers bench` wrote at {path}:{number}; {error}") from error
