"""The report says what the records say, losses included; the one in docs/ is made of the results beside it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from flowformers.bench import records, render
from flowformers.bench.records import Measure, Participant, Session, Timing
from flowformers.bench.report import text_of
from flowformers.cli import main
from flowformers.errors import InvalidInput, NotFound

DOCS = Path(__file__).parents[2] / "docs"
MACHINE = {
    "cpu": "A CPU", "family": "cpu family 1", "flags": ["avx2"], "cores": 2, "memory_gib": 8.0, "system": "Linux 6, x",
    "python": "3.11.7", "versions": {"flowformers": "0.1.0", "tensorflow": "2.21.0"},
}  # fmt: skip
MODEL = {"name": "m", "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
SESSION = Session("2026-01-02T03:04:05Z", "flowformers bench", 2, 1, MODEL, MACHINE)
SECONDS = {"flowformers": (0.1, 0.5), "google": (0.2, 0.4), "onnxruntime": (0.15, 0.6), "ceiling": (0.09, 0.3)}
CASES = "B1 S128", "B2 S128"


def timings():
    return [
        Timing("article", case, peer, 0, (seconds,))
        for peer, both in SECONDS.items()
        for case, seconds in zip(CASES, both, strict=True)
    ]


def written(folder, *lines, name="r"):
    path = folder / "benchmarks" / f"{name}.jsonl"
    path.parent.mkdir(exist_ok=True)
    with path.open("w") as file:
        for line in lines:
            records.write(line, file)
    return path


@pytest.fixture
def text(tmp_path):
    gone = Participant("openvino", "article", "could not be installed: ERROR: no | such <wheel>")
    promises = [
        Measure("loading", "kept one", 1.0, "x", at_most=2.0),
        Measure("loading", "broken one", 3, "x", at_most=2),
    ]
    there = Participant(
        "google", "article", versions={"tensorflow": "2.20"}, difference=2e-6, start=3.0, resident=2**30
    )
    written(tmp_path, SESSION, *timings(), gone, there, *promises)
    return text_of(tmp_path)


def test_records_come_back_as_they_were_written(tmp_path):
    lines = [SESSION, *timings(), Measure("loading", "a", 1.5, "s"), Participant("google", "article", "gone")]
    assert records.read([written(tmp_path, *lines)]) == lines


def test_a_broken_line_is_told_by_its_number(tmp_path):
    path = written(tmp_path, SESSION)
    path.write_text(path.read_text() + '{"record": "timing"}\n')
    with pytest.raises(InvalidInput, match=r"r\.jsonl:2"):
        records.read([path])


def test_cells_are_milliseconds_and_speed_relative_to_the_reference(text):
    assert "| **flowformers** | 100 (2.00) | 500 (0.80) | 1.26 |" in text
    assert "| Google tf-models-official | 200 (1.00) | 400 (1.00) | 1.00 |" in text


def test_losses_are_said_with_who_wins_and_by_how_much(text):
    assert "slower than Google tf-models-official at B2 S128 (0.80)" in text


def test_the_share_of_the_ceiling_compares_operations_a_second(text):
    """The whole model has 1/0.97 of the products' operations."""
    row = next(line for line in text.splitlines() if line.startswith("| flowformers |"))
    assert row == "| flowformers | 92% | 62% |"


def test_who_could_not_take_part_is_there_with_the_reason(text):
    assert "- OpenVINO: could not be installed: ERROR: no \\| such &lt;wheel>" in text


def test_broken_promises_are_marked(text):
    assert "| kept one | 1 | x | at most 2 | yes |" in text
    assert "| broken one | 3 | x | at most 2 | **no** |" in text


def test_machine_command_and_versions_are_there(text):
    for part in ("A CPU (cpu family 1), 2 cores", "`flowformers bench`, 2026-01-02", "tensorflow 2.20 | 2.0e-06"):
        assert part in text


@pytest.mark.parametrize(("share", "warned"), [(0.02, False), (0.4, True)])
def test_a_machine_that_others_used_is_said_to_have_been_disturbed(tmp_path, share, warned):
    written(tmp_path, SESSION, *(dataclasses.replace(one, others=share) for one in timings()))
    assert ("Disturbed: other processes took 40%" in text_of(tmp_path)) == warned


def test_a_cpu_without_reduced_precision_is_said_to_have_none(text):
    assert "no instructions for products in bf16 or int8" in text


def test_of_two_sessions_the_newer_one_counts(tmp_path):
    written(tmp_path, SESSION, *timings(), name="a")
    newer = dataclasses.replace(SESSION, started="2026-02-02T00:00:00Z")
    written(tmp_path, newer, Timing("article", "B1 S128", "google", 0, (0.3,)), name="b")
    assert "| Google tf-models-official | 300 (1.00) | 1.00 |" in text_of(tmp_path)


def test_a_folder_without_results_is_told(tmp_path, capsys):
    with pytest.raises(NotFound, match=r"no \.jsonl file"):
        text_of(tmp_path)
    assert main(["bench", "--render", "--out", str(tmp_path)]) == 1
    assert "no .jsonl file" in capsys.readouterr().err


def test_rendering_writes_markdown_one_page_and_a_chart(tmp_path):
    pytest.importorskip("matplotlib")
    written(tmp_path, SESSION, *timings())
    assert render(tmp_path).read_text() == text_of(tmp_path)
    page = (tmp_path / "benchmarks.html").read_text()
    assert page.count("<svg") == 1
    assert "<img" not in page
    chart = (tmp_path / "benchmarks" / "article.svg").read_bytes()
    render(tmp_path)
    assert (tmp_path / "benchmarks" / "article.svg").read_bytes() == chart


def test_the_benchmarks_page_is_what_the_committed_results_make():
    assert (DOCS / "benchmarks.md").read_text() == text_of(DOCS)
