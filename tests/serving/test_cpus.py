"""A container's CPU limit is what threads are counted by, not the CPUs of its machine."""

from __future__ import annotations

import os

import pytest

from flowformers.serving import Settings, cpus
from flowformers.serving.batching_config import BatchingParameters, run_threads
from flowformers.serving.session_config import session_config


@pytest.fixture
def limited(monkeypatch, tmp_path):
    """A machine of 64 CPUs, and a function that writes files of a cgroup."""
    monkeypatch.setattr(cpus, "CGROUPS", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)

    def write(files):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)

    return write


@pytest.mark.parametrize(
    ("files", "count"),
    [
        ({}, 64),
        ({"cpu.max": "max 100000\n"}, 64),
        ({"cpu.max": "200000 100000\n"}, 2),
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "10000 100000\n"}, 1),
        ({"cpu.max": "9900000 100000\n"}, 64),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 64),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
    ],
)
def test_threads_are_as_many_as_the_limit_has_cpus(limited, files, count):
    limited(files)
    assert BatchingParameters().num_batch_threads == count
    assert run_threads(Settings(), 0) == 4 * count
    assert session_config(Settings()).intra_op_parallelism_threads == (0 if count == 64 else count)


def test_what_is_set_counts_whatever_the_limit(limited, tmp_path):
    limited({"cpu.max": "200000 100000\n"})
    file = tmp_path / "session.config"
    file.write_text("intra_op_parallelism_threads: 5")
    assert session_config(Settings(tensorflow_session_config_file=file)).intra_op_parallelism_threads == 5
    for name in ("tensorflow_intra_op_parallelism", "tensorflow_session_parallelism"):
        assert session_config(Settings(**{name: 7})).intra_op_parallelism_threads == 7
