"""What flowformers is compared with, how, and the report.

plan (scenarios, peers) -> run -> timing (pool, environments, process, workers), measures -> records (JSON lines)
    -> statistics -> report
"""

from __future__ import annotations

from flowformers.bench.model import model_folder
from flowformers.bench.plan import overview, plan
from flowformers.bench.report import render
from flowformers.bench.session import run, set_up
from flowformers.bench.setup import Setup

__all__ = ["Setup", "model_folder", "overview", "plan", "render", "run", "set_up"]
