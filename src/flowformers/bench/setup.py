"""Where a run's things are, and how it times."""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

# Seconds that the locks are held before others are let in, and that they are let in for.
STRETCH, PAUSE = 90.0, 1.0


class Quiet:
    """The locks, held for a block; pause() lets others in where they have waited long."""

    def __init__(self, locks: Sequence[Path]) -> None:
        self._locks = locks
        self._stack = ExitStack()
        self._since = 0.0

    def __enter__(self) -> Self:
        for path in self._locks:
            file = self._stack.enter_context(path.open("a"))
            fcntl.flock(file, fcntl.LOCK_EX)
        self._since = time.monotonic()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def pause(self) -> None:
        """To be called between two measurements."""
        if self._locks and time.monotonic() - self._since > STRETCH:
            self._stack.close()
            time.sleep(PAUSE)
            self.__enter__()


@dataclass(frozen=True)
class Setup:
    """Where things are and how to time. locks: files that are held, in this order, while something is timed."""

    model: Path
    cache: Path
    threads: int = 2
    rounds: int = 3
    locks: tuple[Path, ...] = ()

    @property
    def environments(self) -> Path:
        """The folder of virtual environments."""
        return self.cache / "environments"

    @property
    def scratch(self) -> Path:
        """The folder for files that engines convert this model to, and for requests."""
        return self.cache / "scratch" / self.model.name

    @property
    def config(self) -> dict[str, Any]:
        """The model's config.json."""
        fields: dict[str, Any] = json.loads((self.model / "config.json").read_text(encoding="utf-8"))
        return fields

    @property
    def vocabulary(self) -> int:
        """The model's vocabulary size."""
        return int(self.config["vocab_size"])

    def quiet(self) -> Quiet:
        """For a `with` block in which nobody else who takes the locks works on this machine."""
        return Quiet(self.locks)

    def plain(self) -> dict[str, Any]:
        """As JSON can carry it; locks stay with the process that holds them."""
        return {"model": str(self.model), "cache": str(self.cache), "threads": self.threads, "rounds": self.rounds}

    @classmethod
    def of(cls, fields: dict[str, Any]) -> Self:
        """From plain()."""
        return cls(Path(fields["model"]), Path(fields["cache"]), fields["threads"], fields["rounds"])
