"""A run from the command to the report, through processes of its own; and engines that fail, each in its way."""

from __future__ import annotations

import fcntl
import io
import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from flowformers.bench import peers, records
from flowformers.bench.environments import python_of
from flowformers.bench.machine import Meter
from flowformers.bench.peers import Environment, Peer
from flowformers.bench.pool import CHECK, Pool
from flowformers.bench.process import Process
from flowformers.bench.records import Participant, Session, Timing
from flowformers.bench.report import text_of
from flowformers.bench.scenarios import SCENARIOS, Case
from flowformers.bench.session import command
from flowformers.bench.setup import Quiet
from flowformers.bench.timing import run_scenario
from flowformers.cli import main
from flowformers.errors import PeerUnavailable

# What truth() would say, for engines that fail before or at the comparison.
TRUTH = [np.zeros([len(rows), max(rows), 16], np.float32) for rows in CHECK.requests]
UNINSTALLABLE = Environment("broken", ("no-such-package @ file:///nowhere/no-such-package.whl",))


@pytest.fixture
def results(tiny, tmp_path, monkeypatch):
    """What `flowformers bench` wrote of a tiny model, through three of its own forms."""
    monkeypatch.setenv("FLOWFORMERS_CACHE", str(tmp_path / "cache"))
    forms = "flowformers-graph,flowformers,ceiling"
    words = ["--model", str(tiny), "--scenario", "forms", "--peers", forms, "--rounds", "2", "--quick"]
    assert main(["bench", *words, "--out", str(tmp_path / "out")]) == 0
    return tmp_path / "out"


@pytest.mark.slow
def test_a_run_compares_times_in_turn_and_reports(results, capsys):
    found = records.read(sorted((results / "benchmarks").glob("*.jsonl")))
    assert isinstance(found[0], Session)
    took_part = {one.peer: one for one in found if isinstance(one, Participant)}
    assert not any(one.reason for one in took_part.values())
    assert took_part["flowformers"].difference <= 1e-5
    assert took_part["ceiling"].difference is None
    timed = [(one.case, one.round, one.peer) for one in found if isinstance(one, Timing)]
    assert len(timed) == 3 * 2 * 3
    assert next(peer for case, number, peer in timed if (case, number) == ("B1 S8", 1)) == "flowformers"
    text = text_of(results)
    for label in ("flowformers tf.function", "| **flowformers** |", "share of the ceiling"):
        assert label in text


def scenario_of(setup, peer, monkeypatch):
    """The records of one peer's run on one case."""
    monkeypatch.setitem(peers.PEERS, peer.name, peer)
    out = io.StringIO()
    setup.scratch.mkdir(parents=True)
    with Pool(setup, TRUTH) as pool:
        run_scenario(SCENARIOS["forms"], [Case("B1 S8", ((8,),))], [peer.name], setup, pool, out)
    return [json.loads(line) for line in out.getvalue().splitlines()]


@pytest.mark.slow
def test_an_engine_that_can_t_be_installed_is_reported_with_pips_reason(setup, monkeypatch):
    monkeypatch.setitem(peers.ENVIRONMENTS, "broken", UNINSTALLABLE)
    (only,) = scenario_of(setup, Peer("x", "X", "broken", "google", "graph"), monkeypatch)
    assert only["record"] == "participant"
    assert only["reason"].startswith("could not be installed: ERROR")
    with pytest.raises(PeerUnavailable, match=r"--setup. tries again"):
        python_of(UNINSTALLABLE, setup.environments)


def test_an_engine_that_is_not_there_is_reported_with_its_error(setup, monkeypatch):
    (only,) = scenario_of(setup, Peer("x", "X", "flowformers", "openvino", "fp32"), monkeypatch)
    assert only["reason"] == "ModuleNotFoundError: No module named 'openvino'"


def test_a_float32_engine_with_other_numbers_is_not_timed(setup, monkeypatch):
    """The ceiling computes products, no model; said to be an engine it must be found out."""
    monkeypatch.setattr(Peer, "answers", True)
    (only,) = scenario_of(setup, Peer("x", "X", "flowformers", "ceiling", "fp32"), monkeypatch)
    assert only["reason"].startswith("not comparable: hidden states differ")


def test_a_process_that_dies_is_told_with_its_last_words(tmp_path):
    with (
        Process(Path(sys.executable), "no_such_worker", log=tmp_path / "log", threads=1) as process,
        pytest.raises(PeerUnavailable, match=r"ended with code 1, and said: .*no_such_worker"),
    ):
        process.ask("load")


def test_a_process_that_does_not_answer_is_given_up(tmp_path):
    with (
        Process(Path(sys.executable), "flowformers", log=tmp_path / "log", threads=1) as process,
        pytest.raises(PeerUnavailable, match="no answer to memory in 0 s"),
    ):
        process.ask("memory", timeout=0.0)


def free(lock):
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def test_what_others_take_of_the_machine_is_noticed():
    meter = Meter(1)  # this test's own work is another's to the process with id 1
    end = time.perf_counter() + 0.5
    while time.perf_counter() < end:
        pass
    assert meter.others() > 0.3 / os.cpu_count()
    assert Meter(2**22 + 1).others() is None


def test_locks_are_held_while_something_is_timed(tmp_path):
    lock = tmp_path / "lock"
    with Quiet([lock]):
        assert not free(lock)
    assert free(lock)


def test_others_are_let_in_when_they_have_waited_long(tmp_path, monkeypatch):
    lock, seen = tmp_path / "lock", []
    monkeypatch.setattr("flowformers.bench.setup.STRETCH", -1.0)
    monkeypatch.setattr("flowformers.bench.setup.time.sleep", lambda seconds: seen.append(free(lock)))
    with Quiet([lock]) as quiet:
        quiet.pause()
        assert seen == [True]
        assert not free(lock)


def test_the_command_is_recorded_as_others_can_type_it():
    argv = ["/opt/bin/flowformers", "bench", "--lock", "/tmp/x", "--out", "/tmp/y", "--scenario", "short"]
    assert command(argv) == "flowformers bench --scenario short"


def test_the_list_names_scenarios_and_peers(capsys):
    assert main(["bench", "--list"]) == 0
    out = capsys.readouterr().out
    assert "article " in out
    assert "onnxruntime-int8" in out


@pytest.mark.parametrize("words", [["--scenario", "nope"], ["--peers", "jax"]])
def test_an_unknown_name_is_one_line(words, tiny, tmp_path, capsys):
    assert main(["bench", "--model", str(tiny), "--out", str(tmp_path), *words]) == 1
    assert "expected a" in capsys.readouterr().err
