"""The versions of a model: what is on disk, what is loaded, what is served (TF Serving protocol, section 14)."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path

from flowformers.errors import Kind, NotFound, ServingError
from flowformers.serving.servable import Servable
from flowformers.serving.settings import Settings

log = logging.getLogger("flowformers.serving")
Load = Callable[[Path, int, Settings], Servable]


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
    """A version the server has known."""

    status: Status
    servable: Servable | None = None
    in_flight: int = 0
    attempts: int = 0
    retry_at: float = field(default=0.0)


class Repository:
    """Serves the latest version under a base path; a new one takes over only when it is ready."""

    def __init__(
        self, settings: Settings, *, load: Load = Servable, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.settings = settings
        self._load, self._clock = load, clock
        self._entries: dict[int, Entry] = {}
        self._changed = threading.Condition()

    def poll(self) -> None:
        """Look at the disk once, load what is wanted, then unload what is not."""
        wanted = self._wanted()
        if wanted is None:
            return
        for version, folder in wanted.items():
            self._bring_up(version, folder)
        with self._changed:
            ready = any(self._state(version) is State.AVAILABLE for version in wanted)
            stale = [version for version in self._entries if version not in wanted]
        if ready or not wanted:
            for version in stale:
                self._take_down(version)

    def _wanted(self) -> dict[int, Path] | None:
        """The latest version on disk; None while the base path is gone, which changes nothing."""
        found = versions_in(self.settings.model_base_path)
        if found is None:
            return None
        return {max(found): found[max(found)]} if found else {}

    def _state(self, version: int) -> State | None:
        entry = self._entries.get(version)
        return entry.status.state if entry else None

    def _bring_up(self, version: int, folder: Path) -> None:
        with self._changed:
            entry = self._entries.get(version)
            if entry is None or (entry.status.state is State.END and entry.status.kind is Kind.OK):
                entry = self._entries[version] = Entry(Status(version, State.START))
            if entry.status.state not in (State.START, State.LOADING) or self._clock() < entry.retry_at:
                return
            entry.status = Status(version, State.LOADING)
        try:
            servable = self._load(folder, version, self.settings)
            if self.settings.enable_model_warmup:
                servable.warm_up()
        except ServingError as error:
            self._failed(entry, error)
            return
        with self._changed:
            entry.servable, entry.status = servable, Status(version, State.AVAILABLE)
            self._changed.notify_all()
        log.info("version %d of %s is available", version, self.settings.model_name)

    def _failed(self, entry: Entry, error: ServingError) -> None:
        with self._changed:
            entry.attempts += 1
            entry.retry_at = self._clock() + self.settings.load_retry_interval_micros / 1e6
            if entry.attempts > self.settings.max_num_load_retries:
                entry.status = replace(entry.status, state=State.END, kind=error.kind, message=str(error))
            self._changed.notify_all()
        log.error("version %d of %s can't be loaded: %s", entry.status.version, self.settings.model_name, error)

    def _take_down(self, version: int) -> None:
        """No new request sees the version; it is freed when the last one in flight is done."""
        with self._changed:
            entry = self._entries[version]
            if entry.servable is None:
                if entry.status.state in (State.START, State.LOADING):
                    entry.status = Status(version, State.END)
                return
            servable, entry.servable = entry.servable, None
            entry.status = Status(version, State.UNLOADING)
            self._changed.wait_for(lambda: entry.in_flight == 0)
            servable.close()
            entry.status = Status(version, State.END)
        log.info("version %d of %s is unloaded", version, self.settings.model_name)

    @contextmanager
    def use(self, name: str, version: int | None, label: str | None) -> Iterator[Servable]:
        """The version asked for, kept loaded while the block runs. Raises ServingError NOT_FOUND."""
        if label is not None and name == self.settings.model_name:
            raise ServingError(Kind.INVALID_ARGUMENT, f"Unrecognized servable version label: {label}")
        with self._changed:
            entry = self._entry(name, version)
            assert entry.servable is not None
            servable = entry.servable
            entry.in_flight += 1
        try:
            yield servable
        finally:
            with self._changed:
                entry.in_flight -= 1
                self._changed.notify_all()

    def _entry(self, name: str, version: int | None) -> Entry:
        available = {number: entry for number, entry in self._entries.items() if entry.servable is not None}
        if name == self.settings.model_name and available and (version is None or version in available):
            return available[max(available) if version is None else version]
        which = f"Latest({name})" if version is None else f"Specific({name}, {version})"
        raise ServingError(Kind.NOT_FOUND, f"Servable not found for request: {which}")

    def statuses(self, name: str, version: int | None) -> list[Status]:
        """Every version known since the start, highest first. Raises ServingError NOT_FOUND."""
        with self._changed:
            known = sorted((entry.status for entry in self._entries.values()), key=lambda one: -one.version)
        if name != self.settings.model_name or not known:
            raise ServingError(Kind.NOT_FOUND, f"Could not find any versions of model {name}")
        chosen = [status for status in known if version in (None, status.version)]
        if not chosen:
            raise ServingError(Kind.NOT_FOUND, f"Could not find version {version} of model {name}")
        return chosen

    def wait_until_available(self) -> None:
        """Poll until a version is served. Raises ServingError where the only version failed for good."""
        while True:
            self.poll()
            with self._changed:
                states = [entry.status for entry in self._entries.values()]
            if any(status.state is State.AVAILABLE for status in states):
                return
            failed = [status for status in states if status.state is State.END and status.kind is not Kind.OK]
            if failed and len(failed) == len(states):
                raise ServingError(failed[0].kind, failed[0].message)
            time.sleep(min(0.1, self.settings.file_system_poll_wait_seconds or 0.1))

    def close(self) -> None:
        """Unload every version."""
        for version in list(self._entries):
            self._take_down(version)


def versions_in(base: Path) -> dict[int, Path] | None:
    """Numbered folders directly below the base path; None where it is not there."""
    if not base.is_dir():
        return None
    folders = sorted(path for path in base.iterdir() if path.is_dir())
    return {int(path.name): path for path in folders if path.name.isascii() and path.name.isdigit()}


def require_versions(base: Path) -> None:
    """Raises NotFound where a server would wait for ever without a word."""
    found = versions_in(base)
    if found is None:
        raise NotFound(f"expected a folder with numbered versions at {base}; there is no such folder")
    if not found:
        raise NotFound(f"expected numbered versions (such as {base}/1/saved_model.pb); {base} holds none")
