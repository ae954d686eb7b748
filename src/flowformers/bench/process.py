"""An engine in a process of its own, asked by lines (workers/lines.py)."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

from flowformers.errors import PeerUnavailable

WORKERS = Path(__file__).parent / "workers"
# The workers' folder as a package of its own: an engine's Python has no flowformers, and no path of ours shadows it.
BOOT = """
import importlib, importlib.util, sys
folder, name = sys.argv[1:]
spec = importlib.util.spec_from_file_location("workers", folder + "/__init__.py", submodule_search_locations=[folder])
sys.modules["workers"] = package = importlib.util.module_from_spec(spec)
spec.loader.exec_module(package)
importlib.import_module("workers.lines").main(name)
"""


class Process:
    """A worker. ask() raises PeerUnavailable where it fails, dies or takes longer than `timeout` seconds."""

    def __init__(self, python: Path, worker: str, *, log: Path, threads: int) -> None:
        self._log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                [str(python), "-P", "-c", BOOT, str(WORKERS), worker],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=_environment(python, threads),
                text=True,
                bufsize=1,
            )

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def ask(self, op: str, *, timeout: float = 900, **order: Any) -> dict[str, Any]:
        """Send one order and wait for its answer."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"op": op, **order}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise PeerUnavailable(self._death()) from error
        answer: dict[str, Any] = json.loads(self._line(op, timeout))
        if "error" in answer:
            raise PeerUnavailable(" ".join(answer["error"].split())[:400])
        return answer

    def _line(self, op: str, timeout: float) -> str:
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            if not selector.select(timeout):
                self.close()
                raise PeerUnavailable(f"no answer to {op} in {timeout:.0f} s")
        line = self._process.stdout.readline()
        if not line:
            raise PeerUnavailable(self._death())
        return line

    def _death(self) -> str:
        code = self._process.wait()
        lines = self._log.read_text(encoding="utf-8", errors="replace").split("\n")
        said = next((line.strip() for line in reversed(lines) if line.strip()), "nothing")
        return f"the process ended with code {code}, and said: {said[:300]}"

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _environment(python: Path, threads: int) -> dict[str, str]:
    """The same thread budget for every library that reads it from the environment; our import path for us only."""
    ours = {"PYTHONPATH"} if str(python) != sys.executable else set()
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    budget = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    return kept | budget | {"TF_CPP_MIN_LOG_LEVEL": "2", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
