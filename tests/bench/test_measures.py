"""Each measurement runs and gives the numbers it names, on small models; nothing timed is asserted."""

from __future__ import annotations

import io
import json
from itertools import islice

import pytest

from flowformers.bench import measures
from flowformers.bench.measures import batching, load, loading, server, text, tokenization, training
from tests.bench.conftest import TINY


@pytest.mark.slow
def test_loading_gives_memory_and_times(setup):
    found = {one.name: one for one in loading.measure(setup)}
    assert len(found) == 5
    assert found["peak memory beyond TensorFlow's own, over the file's size"].at_most == 2.2


@pytest.mark.slow
def test_training_without_padding_has_the_padded_loss_curve(setup, monkeypatch):
    monkeypatch.setattr(training, "SIZES", TINY)
    monkeypatch.setattr(training, "VOCABULARY", TINY["vocab_size"])
    monkeypatch.setattr(training, "sentence_lengths", lambda: (7, 3, 12, 5) * 16)
    found = {one.name: one for one in training.measure(setup)}
    assert found["largest difference between the loss curves"].kept


@pytest.mark.slow
def test_tokenization_times_graph_and_library(setup, monkeypatch):
    monkeypatch.setattr(tokenization, "RUNS", 2)
    names = [one.name for one in islice(tokenization.measure(setup), 2)]
    assert names == ["WordPiece in the graph, batch 32", "WordPiece by tokenizers from Python"]


@pytest.mark.slow
def test_the_server_is_asked_over_rest_and_grpc(setup, monkeypatch):
    monkeypatch.setattr(server, "CALLS", 10)
    monkeypatch.setattr(server, "SECONDS", 0.5)
    monkeypatch.setattr(server.exports, "SMALL", server.exports.TINY)
    assert len(list(server.measure(setup))) == 7


@pytest.mark.slow
def test_text_and_ids_are_sent_in_turn(setup, monkeypatch):
    monkeypatch.setattr(text, "CALLS", {1: 4, 32: 2})
    monkeypatch.setattr(text.exports, "SMALL", text.exports.TINY)
    assert len(list(text.measure(setup))) == 6


@pytest.mark.slow
def test_clients_are_answered_alone_and_in_batches(setup, monkeypatch):
    monkeypatch.setattr(batching, "SECONDS", 5.0)
    monkeypatch.setattr(batching, "SIZES", batching.exports.TINY)
    names = [measure.name for measure in batching.measure(setup)]
    assert len(set(names)) == len(names) == 13


def test_a_measurement_runs_in_a_process_of_its_own_and_is_recorded(setup):
    out = io.StringIO()
    measures.run_measure("loading", setup, out)
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line["record"] for line in lines] == ["measure"] * 6


@pytest.mark.slow
def test_a_measurement_that_fails_is_a_record_with_the_reason(setup):
    out = io.StringIO()
    (setup.model.parent / "gone").mkdir(exist_ok=True)
    broken = type(setup)(model=setup.model.parent / "gone", cache=setup.cache)
    measures.run_measure("loading", broken, out)
    (line,) = map(json.loads, out.getvalue().splitlines())
    assert line["reason"].startswith("did not finish: ")


def test_calls_that_are_compared_take_turns():
    asked = []
    found = load.in_turn([lambda: asked.append("a"), lambda: asked.append("b")], rounds=2, count=3)
    assert "".join(asked) == "aaabbb" * 3  # the first round is not timed
    assert [len(medians) for medians in found] == [2, 2]
