"""The protocol between the benchmark and an engine's process: one JSON object a line, in and out.

    {"op": "prepare", "folder": ..., "variant": ..., "threads": 2, "scratch": ...} -> {}
    {"op": "load", "folder": ..., "variant": ..., "threads": 2, "scratch": ...} -> {"versions": {...}}
    {"op": "answer", "inputs": "case.npz", "outputs": "answer.npz"}             -> {}
    {"op": "time", "inputs": "case.npz", "calls": 3}                            -> {"seconds": [0.1, 0.1, 0.1]}
    {"op": "memory"}                                                            -> {"peak": bytes, "resident": bytes}

A failure is {"error": "..."}; the process lives on. The end of the input ends the process.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, TextIO

import numpy as np

Call = Callable[[Any, Any], Any]
Requests = list[tuple[Any, Any]]


def main(name: str) -> None:
    """Answer lines until the input ends."""
    out = _private_stdout()
    worker = Worker(importlib.import_module(f".{name}", __package__))
    for line in sys.stdin:
        try:
            answer = worker.answer(json.loads(line))
        except Exception as error:  # the benchmark reports it beside the other engines' results
            answer = {"error": f"{type(error).__name__}: {error}"}
        out.write(json.dumps(answer) + "\n")
        out.flush()


def _private_stdout() -> TextIO:
    """What stdout was; from here on, whatever a library prints goes to stderr."""
    kept = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(kept, "w", encoding="utf-8")


class Worker:
    """An engine's module and what it has loaded."""

    def __init__(self, module: Any) -> None:
        self._module = module
        self._call: Call | None = None

    def answer(self, order: dict[str, Any]) -> dict[str, Any]:
        """The answer to one line."""
        handlers: dict[str, Any] = {
            "prepare": self._prepare,
            "load": self._load,
            "answer": self._answer,
            "time": self._time,
            "memory": self._memory,
        }
        answer: dict[str, Any] = handlers[order.pop("op")](**order)
        return answer

    def _prepare(self, folder: str, variant: str, threads: int, scratch: str) -> dict[str, Any]:
        Path(scratch).mkdir(parents=True, exist_ok=True)
        if hasattr(self._module, "prepare"):
            self._module.prepare(Path(folder), variant=variant, threads=threads, scratch=Path(scratch))
        return {}

    def _load(self, folder: str, variant: str, threads: int, scratch: str) -> dict[str, Any]:
        self._call = self._module.load(Path(folder), variant=variant, threads=threads, scratch=Path(scratch))
        versions = {package: metadata.version(package) for package in self._module.PACKAGES}
        return {"versions": versions}

    def _answer(self, inputs: str, outputs: str) -> dict[str, Any]:
        answers = [np.asarray(self._ready(*request), np.float32) for request in read_requests(inputs)]
        np.savez(outputs, *answers)
        return {}

    def _time(self, inputs: str, calls: int) -> dict[str, Any]:
        requests = read_requests(inputs)
        return {"seconds": [_pass(self._ready, requests) for _ in range(calls)]}

    def _memory(self) -> dict[str, Any]:
        """By the kernel's count: getrusage's peak would be inherited from the process that started this one."""
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        return {
            name: int(status[field].split()[0]) * 1024 for name, field in (("peak", "VmHWM"), ("resident", "VmRSS"))
        }

    @property
    def _ready(self) -> Call:
        if self._call is None:
            raise RuntimeError("nothing is loaded yet")
        return self._call


def _pass(call: Call, requests: Requests) -> float:
    """Seconds for all requests, one after the other."""
    start = time.perf_counter()
    for ids, mask in requests:
        call(ids, mask)
    return time.perf_counter() - start


def write_requests(path: Path, requests: Requests) -> None:
    """ids and mask of every request, int32 [B, S]."""
    np.savez(path, *(array for request in requests for array in request))


def read_requests(path: str) -> Requests:
    """What write_requests wrote."""
    with np.load(path) as file:
        arrays = [file[f"arr_{index}"] for index in range(len(file.files))]
    return list(zip(arrays[::2], arrays[1::2], strict=True))
