"""One model's versions and what should happen to them next: decisions only (TF Serving protocol, section 14)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path

from flowformers.errors import Kind, ServingError
from flowformers.serving.model_config import ModelConfig
from flowformers.serving.servable import Servable


class State(Enum):
    """As ModelVersionStatus.State numbers them."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass(frozen=True)
class Status:
    """A version's state and, where it failed, why."""

    version: int
    state: State
    kind: Kind = Kind.OK
    message: str = ""


@dataclass
class Entry:
    """A version the server has known. `busy`: a thread loads or frees it now."""

    status: Status
    folder: Path
    servable: Servable | None = None
    in_flight: int = 0
    busy: bool = False
    attempts: int = 0
    retry_at: float = 0.0
    error: ServingError | None = None

    @property
    def state(self) -> State:
        return self.status.state

    @property
    def failed(self) -> bool:
        return self.state is State.END and self.status.kind is not Kind.OK

    def become(self, state: State) -> None:
        """Move on. An error of a load that is tried again shows only at the end."""
        self.status = Status(self.status.version, state)

    def end(self) -> None:
        """Not served any more; with the reason where the last load failed."""
        self.become(State.END)
        if self.error is not None:
            self.status = replace(self.status, kind=self.error.kind, message=str(self.error))


@dataclass
class Model:
    """The versions of one model. A version that is wanted is loaded before one that is not is given up.

    leaving: copies of versions that were wanted again before their last request was answered.
    """

    config: ModelConfig
    entries: dict[int, Entry] = field(default_factory=dict)
    wanted: set[int] = field(default_factory=set)
    leaving: list[Entry] = field(default_factory=list)

    def want(self, found: Mapping[int, Path]) -> None:
        """The versions on disk, of which the policy chooses. A failed one is tried again only after it was unwanted.

        One that is on its way out is loaded anew: to wait for its last request might be to wait for ever.
        """
        before, self.wanted = self.wanted, self.config.policy.choose(found)
        for version in self.wanted:
            entry = self.entries.get(version)
            if entry is not None and entry.state is State.UNLOADING:
                self.leaving.append(entry)
            elif entry is not None and (entry.state is not State.END or (entry.failed and version in before)):
                continue
            self.entries[version] = Entry(Status(version, State.START), found[version])

    def drop(self) -> None:
        """Nothing is wanted any more."""
        self.wanted = set()

    def known(self) -> Iterator[Entry]:
        """Every version, and every copy that is still in memory."""
        yield from self.entries.values()
        yield from self.leaving

    def available(self) -> dict[int, Entry]:
        """The versions that answer requests."""
        return {version: entry for version, entry in self.entries.items() if entry.state is State.AVAILABLE}

    def to_load(self, now: float) -> Iterator[Entry]:
        """Wanted versions that are due, the highest first."""
        for version in sorted(self.wanted, reverse=True):
            entry = self.entries[version]
            if entry.state in (State.START, State.LOADING) and not entry.busy and now >= entry.retry_at:
                yield entry

    def to_give_up(self) -> Iterator[Entry]:
        """Versions not wanted: those never loaded, and those ready, but for one as long as no wanted one is ready."""
        unwanted = [self.entries[version] for version in sorted(set(self.entries) - self.wanted)]
        for entry in unwanted:
            if entry.state in (State.START, State.LOADING) and not entry.busy:
                yield entry
        ready = [entry for entry in unwanted if entry.state is State.AVAILABLE]
        replaced = not self.wanted or any(version in self.wanted for version in self.available())
        yield from ready if replaced else ready[:-1]

    def to_free(self) -> Iterator[Entry]:
        """Versions that no request can see or holds any more."""
        for entry in self.known():
            if entry.state is State.UNLOADING and not entry.in_flight and not entry.busy:
                yield entry

    def settled(self) -> bool:
        """Whether waiting for a version is over: one is available, or all that are wanted have ended."""
        return bool(self.available()) or all(self.entries[version].state is State.END for version in self.wanted)

    def failure(self) -> Status | None:
        """Why no version is available, where that is settled."""
        failed = [self.entries[version].status for version in sorted(self.wanted) if self.entries[version].failed]
        return failed[-1] if failed and not self.available() else None
