"""What the numbers were measured on."""

from __future__ import annotations

import os
import platform
import time
from importlib import metadata
from pathlib import Path
from typing import Any

# Those that decide how fast a matrix product can be.
FLAGS = (
    "avx2",
    "fma",
    "avx512f",
    "avx512_vnni",
    "avx_vnni",
    "avx512_bf16",
    "amx_bf16",
    "amx_int8",
    "asimd",
    "bf16",
    "i8mm",
)


def describe() -> dict[str, Any]:
    """CPU, cores, memory, system, and the versions of the two packages that every run uses."""
    cpu = _cpu_info()
    flags = (cpu.get("flags") or cpu.get("Features") or "").split()
    return {
        "cpu": cpu.get("model name") or platform.processor() or platform.machine(),
        "family": " ".join(f"{name} {cpu[name]}" for name in ("cpu family", "model", "stepping") if name in cpu),
        "flags": [flag for flag in FLAGS if flag in flags],
        "cores": os.cpu_count() or 1,
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.release().split('-')[0]}, {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in ("flowformers", "tensorflow")},
    }


def _cpu_info() -> dict[str, str]:
    """The first core's entry; empty where the system has no /proc/cpuinfo."""
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return {}
    first = path.read_text(encoding="utf-8").split("\n\n")[0]
    pairs = (line.split(":", 1) for line in first.splitlines() if ":" in line)
    return {name.strip(): value.strip() for name, value in pairs}


class Meter:
    """How much of the machine others took while something ran: other processes, and other guests of the same host."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._start = self._reading()

    def others(self) -> float | None:
        """Their share of all cores' time since the start, 0 to 1; None where the system does not tell."""
        now = self._reading()
        if now is None or self._start is None:
            return None
        wall, busy, own = (after - before for before, after in zip(self._start, now, strict=True))
        return min(1.0, max(0.0, (busy - own) / (wall * (os.cpu_count() or 1))))

    def _reading(self) -> tuple[float, float, float] | None:
        """Seconds: by the clock, of all cores at work, of the process and its ended children at work."""
        stat, own = Path("/proc/stat"), Path(f"/proc/{self._pid}/stat")
        if not stat.is_file() or not own.is_file():
            return None
        user, nice, system, _, _, irq, softirq, steal = map(int, stat.read_text().split("\n")[0].split()[1:9])
        fields = own.read_text().rpartition(")")[2].split()
        ticks = os.sysconf("SC_CLK_TCK")
        busy = user + nice + system + irq + softirq + steal
        return time.monotonic(), busy / ticks, sum(map(int, fields[11:15])) / ticks
