"""How many CPUs there are for this process: TensorFlow and Python count those of a container's machine."""

from __future__ import annotations

import contextlib
import math
import os
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


def usable_cpus() -> int:
    """The machine's CPUs, those that this process may run on, or a container's limit, rounded up: the least."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = _limit()
    return count if limit is None else max(1, min(count, math.ceil(limit)))


def _limit() -> float | None:
    """The quota that `docker run --cpus` and Kubernetes' limits set, as CPUs; None without one."""
    with contextlib.suppress(OSError, ValueError):  # no such file, or "max" for none
        quota, period = (CGROUPS / "cpu.max").read_text().split()
        return int(quota) / int(period)
    with contextlib.suppress(OSError, ValueError):  # cgroups of version 1, where -1 is none
        quota, period = ((CGROUPS / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return int(quota) / int(period) if int(quota) > 0 else None
    return None
