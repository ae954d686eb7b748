"""All models: a thread looks at the disk, loads what is wanted and frees what is not; requests borrow a version.

Availability comes first: a version that serves is given up only when a wanted one is ready, and freed only when its
last request is answered (TF Serving protocol, section 14). What TensorFlow Serving does and this does not: a load that
waits for its next try holds up no other, and a base path that is gone changes nothing for its own model only.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from flowformers.errors import FlowformersError, Kind, ServingError
from flowformers.serving import metrics
from flowformers.serving.cpus import usable_cpus
from flowformers.serving.lifecycle import Entry, Model, State, Status
from flowformers.serving.memory import give_back
from flowformers.serving.model_config import ModelConfig, read_model_config
from flowformers.serving.servable import Servable
from flowformers.serving.settings import Settings
from flowformers.serving.storage import drop_from_page_cache, versions_in

log = logging.getLogger("flowformers.serving")
Load = Callable[[Path, int, Settings], Servable]
TICK_SECONDS = 0.1


class Repository:
    """Every model that is configured, and every version it has had. Safe to use from any thread."""

    def __init__(
        self, settings: Settings, *, load: Load = Servable, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.settings = settings
        self._load, self._clock = load, clock
        self._models: dict[str, Model] = {}
        self._labels: dict[str, dict[str, int]] = {}
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._reloading = threading.Lock()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._parallel_loads = 4 * usable_cpus()
        self._workers = ThreadPoolExecutor(self._parallel_loads, thread_name_prefix="load")

    # What requests see

    def use(self, name: str, version: int | None = None, label: str | None = None) -> _Use:
        """The version asked for, kept loaded while the block runs.

        Neither version nor label means the highest version available. Raises ServingError: NOT_FOUND, and
        INVALID_ARGUMENT for a label that no config names.
        """
        return _Use(self, name, version, label)

    def _hold(self, name: str, version: int | None, label: str | None) -> Entry:
        with self._lock:
            entry = self._entry(name, version, label)
            entry.in_flight += 1
        return entry

    def _release(self, entry: Entry) -> None:
        with self._lock:
            entry.in_flight -= 1
            if entry.status.state is State.UNLOADING:
                self._changed.notify_all()

    def _entry(self, name: str, version: int | None, label: str | None) -> Entry:
        if label is not None and name in self._models:
            version = self._labels.get(name, {}).get(label)
            if version is None:
                raise ServingError(Kind.INVALID_ARGUMENT, f"Unrecognized servable version label: {label}")
        available = self._models[name].available() if name in self._models else {}
        if available and (version is None or version in available):
            return available[max(available) if version is None else version]
        which = f"Latest({name})" if version is None else f"Specific({name}, {version})"
        raise ServingError(Kind.NOT_FOUND, f"Servable not found for request: {which}")

    def statuses(self, name: str, version: int | None = None) -> list[Status]:
        """Every version known since the start, highest first. Raises ServingError NOT_FOUND."""
        with self._changed:
            entries = self._models[name].entries.values() if name in self._models else ()
            known = sorted((entry.status for entry in entries), key=lambda one: -one.version)
        if not known:
            raise ServingError(Kind.NOT_FOUND, f"Could not find any versions of model {name}")
        chosen = [status for status in known if version in (None, status.version)]
        if not chosen:
            raise ServingError(Kind.NOT_FOUND, f"Could not find version {version} of model {name}")
        return chosen

    def labels(self, name: str) -> dict[str, int]:
        """The labels of a model with the versions they stand for."""
        with self._changed:
            return dict(self._labels.get(name, {}))

    def models(self) -> list[str]:
        """The models in the present config, whether they can be used yet or not."""
        with self._changed:
            return list(self._labels)

    def available(self, name: str) -> list[int]:
        """The versions of a model that answer requests, highest first."""
        with self._changed:
            return sorted(self._models[name].available(), reverse=True)

    def ready(self) -> bool:
        """Whether every configured model has a version that answers."""
        with self._changed:
            return all(self._models[name].available() for name in self._labels)

    # Configuration

    def batch_size(self) -> int:
        """The most rows that a graph of those loaded joins by itself; 0 where none does."""
        with self._changed:
            return max((entry.servable.batch_size for entry in self._entries() if entry.servable), default=0)

    def reload(self, configs: Sequence[ModelConfig]) -> None:
        """Serve exactly these models; returns when each that is new has a version available.

        Blocks while they load, so it is no work for a thread that answers requests. Raises ServingError:
        FAILED_PRECONDITION for a label on a version that is not available (nothing is changed then), UNKNOWN for a
        new model that can't be served (the others are; it is tried again as its folder changes).
        """
        with self._reloading:
            with self._changed:
                self._check_labels(configs)
                new = [config.name for config in configs if config.name not in self._labels]
                self._apply(configs)
            self.poll()
            self._wait_for(new)

    def _check_labels(self, configs: Sequence[ModelConfig]) -> None:
        for config in configs:
            model, known = self._models.get(config.name), self._labels.get(config.name, {})
            available = model.available() if model else {}
            for label, version in config.labels.items():
                free = self.settings.allow_version_labels_for_unavailable_models and label not in known
                if version not in available and known.get(label) != version and not free:
                    raise ServingError(
                        Kind.FAILED_PRECONDITION,
                        f"Request to assign label {label} to version {version} of model {config.name}, which is not "
                        "currently available for inference",
                    )

    def _apply(self, configs: Sequence[ModelConfig]) -> None:
        for name in set(self._labels) - {config.name for config in configs}:
            self._models[name].drop()
        for config in configs:
            self._models.setdefault(config.name, Model(config)).config = config
        self._labels = {config.name: dict(config.labels) for config in configs}

    def _wait_for(self, names: Sequence[str]) -> None:
        with self._changed:
            while not self._stopping.is_set() and not all(self._models[name].settled() for name in names):
                self._act()
                self._changed.wait(TICK_SECONDS)
            missing = [name for name in names if not self._models[name].available()]
            reasons = [f"{name}: {self._reason(name)}" for name in missing]
        if missing:
            raise ServingError(
                Kind.UNKNOWN, f"{len(missing)} model(s) did not become available: {{{'; '.join(reasons)}}}"
            )

    def _reason(self, name: str) -> str:
        failure = self._models[name].failure()
        return failure.message if failure else f"no versions below {self._models[name].config.base_path}"

    # Disk and memory

    def start(self) -> None:
        """Load the first config and return when every model in it is served; then go on watching.

        Waits for a model whose folder is empty or missing. Raises ServingError where a model can't be loaded.
        """
        with self._changed:
            configs = self.settings.models()
            self._check_labels(configs)
            self._apply(configs)
        while not self._stopping.is_set() and not self.ready():
            self.poll()
            self._wait_for([name for name in self._labels if self._models[name].wanted])
            waiting = [name for name in self._labels if not self._models[name].wanted]
            for name in waiting:
                log.warning("model %s is waited for: %s", name, self._reason(name))
            if waiting:
                self._stopping.wait(self.settings.file_system_poll_wait_seconds or 1)
        self._parallel_loads = max(1, self.settings.num_load_threads)
        self._run("poll", self._watch_disk)
        if self.settings.model_config_file_poll_wait_seconds > 0:
            self._run("config", self._watch_config)

    def _run(self, name: str, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def poll(self) -> None:
        """Look at the disk once: what is there is what the policies choose from."""
        with self._changed:
            bases = {name: self._models[name].config.base_path for name in self._labels}
        found = {name: versions_in(base) for name, base in bases.items()}
        with self._changed:
            for name, versions in found.items():
                if versions is not None and self._models[name].config.base_path == bases[name]:
                    self._models[name].want(versions)
            self._act()

    def _watch_disk(self) -> None:
        wait = self.settings.file_system_poll_wait_seconds
        due = self._clock() + wait
        while not self._stopping.is_set():
            if wait > 0 and self._clock() >= due:
                self.poll()
                due = self._clock() + wait
            with self._changed:
                self._act()
                self._changed.wait(TICK_SECONDS)

    def _watch_config(self) -> None:
        wait, path = self.settings.model_config_file_poll_wait_seconds, self.settings.model_config_file
        while path and not self._stopping.wait(wait):
            try:
                self.reload(read_model_config(Path(path)))
            except Exception as error:  # also of the disk: a thread that ended would never look at the file again
                log.error("the config in %s is not used: %s", path, _as_serving_error(error))

    def _act(self) -> None:
        """Start what is due: loads, unloads, and freeing what the last request has left. Holds the lock."""
        now = self._clock()
        for model in self._models.values():
            for entry in model.to_give_up():
                if entry.servable is None:
                    entry.end()
                else:
                    entry.become(State.UNLOADING)
                    metrics.VERSIONS.labels(model.config.name).set(len(model.available()))
            for entry in model.to_free():
                if self._busy(State.UNLOADING) < max(1, self.settings.num_unload_threads):
                    self._begin(self._free, model, entry)
            for entry in model.to_load(now):
                if self._busy(State.LOADING) < self._parallel_loads:
                    entry.become(State.LOADING)
                    self._begin(self._bring_up, model, entry)

    def _begin(self, work: Callable[[Model, Entry], None], model: Model, entry: Entry) -> None:
        entry.busy = True
        self._workers.submit(work, model, entry)

    def _busy(self, state: State) -> int:
        return sum(entry.busy and entry.state is state for entry in self._entries())

    def _entries(self) -> Iterator[Entry]:
        return (entry for model in self._models.values() for entry in model.known())

    def _bring_up(self, model: Model, entry: Entry) -> None:
        version, name, began = entry.status.version, model.config.name, time.perf_counter()
        try:
            servable = self._loaded(entry)
        except Exception as error:  # whatever is wrong with a version must not end the server's life
            metrics.loaded(name, str(entry.folder), time.perf_counter() - began, failed=True)
            with self._changed:
                self._failed(model, entry, _as_serving_error(error))
            return
        metrics.loaded(name, str(entry.folder), time.perf_counter() - began, failed=False)
        with self._changed:
            entry.servable, entry.busy, entry.error = servable, False, None
            entry.become(State.AVAILABLE)
            metrics.VERSIONS.labels(name).set(len(model.available()))
            self._act()
            self._changed.notify_all()
        log.info("version %d of %s is available", version, name)

    def _loaded(self, entry: Entry) -> Servable:
        servable = self._load(entry.folder, entry.status.version, self.settings)
        try:
            if self.settings.enable_model_warmup:
                servable.warm_up(max(1, self.settings.num_request_iterations_for_warmup))
        except BaseException:
            servable.close()
            raise
        if self.settings.flush_filesystem_caches:
            drop_from_page_cache(entry.folder)
        return servable

    def _failed(self, model: Model, entry: Entry, error: ServingError) -> None:
        log.error("version %d of %s can't be loaded: %s", entry.status.version, model.config.name, error)
        entry.busy, entry.attempts, entry.error = False, entry.attempts + 1, error
        entry.retry_at = self._clock() + self.settings.load_retry_interval_micros / 1e6
        if entry.attempts > self.settings.max_num_load_retries or entry.status.version not in model.wanted:
            entry.end()
        self._changed.notify_all()

    def _free(self, model: Model, entry: Entry) -> None:
        version, name = entry.status.version, model.config.name
        servable, entry.servable = entry.servable, None
        assert servable is not None
        try:
            servable.close()
        except Exception:  # else it would be waited for without end
            log.exception("version %d of %s did not close; its memory may stay", version, name)
        finally:
            del servable
            give_back()
            with self._changed:
                entry.end()
                entry.busy = False
                model.leaving = [other for other in model.leaving if other is not entry]
                self._changed.notify_all()
        log.info("version %d of %s is unloaded", version, name)

    def running(self) -> list[str]:
        """The versions that requests hold, and how many each, in words."""
        with self._changed:
            return [f"{entry.in_flight} of version {entry.status.version} of {name}" for name, entry in self._held()]

    def _held(self) -> list[tuple[str, Entry]]:
        return [(name, entry) for name, model in self._models.items() for entry in model.known() if entry.in_flight]

    def interrupt(self) -> None:
        """End the runs in flight, as far as TensorFlow can; does not wait for that."""
        with self._changed:
            held = [entry.servable for _, entry in self._held() if entry.servable is not None]
        for servable in held:
            threading.Thread(target=servable.interrupt, name="interrupt", daemon=True).start()

    def close(self, seconds: float | None = None) -> bool:
        """Stop watching and free every version when its last request is answered.

        Returns whether all are, in so many seconds; None is no limit.
        """
        end = math.inf if seconds is None else self._clock() + seconds
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(seconds)
        with self._changed:
            for model in self._models.values():
                model.drop()
            while (left := self._in_memory()) and self._clock() < end:
                self._act()
                self._changed.wait(TICK_SECONDS)
        self._workers.shutdown(wait=not left)
        return not left

    def _in_memory(self) -> bool:
        return any(entry.busy or entry.servable for entry in self._entries())


class _Use:
    """A version in use while the block runs."""

    def __init__(self, repository: Repository, *which: Any) -> None:
        self._repository, self._which = repository, which

    def __enter__(self) -> Servable:
        self._entry = self._repository._hold(*self._which)
        assert self._entry.servable is not None
        return self._entry.servable

    def __exit__(self, *_: object) -> None:
        self._repository._release(self._entry)


def _as_serving_error(error: Exception) -> ServingError:
    if isinstance(error, ServingError):
        return error
    kind = error.kind if isinstance(error, FlowformersError) else Kind.UNKNOWN
    return ServingError(kind, f"{type(error).__name__}: {error}")
