"""The command line: help at once, results on stdout, errors in one line."""

from __future__ import annotations

import json
import logging
import subprocess
import sys

import pytest

import flowformers
from flowformers.cli import COMMANDS, main


@pytest.fixture
def checkpoint(tmp_path, classifier):
    classifier.save_pretrained(tmp_path / "model", safe_serialization=True)
    return tmp_path / "model"


def refusal(capsys, *words):
    """The text of an error; fails where the command went well or said more than a line."""
    assert main(list(words)) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = [line for line in captured.err.splitlines() if line.startswith("flowformers: error: ")]
    assert len(lines) == 1
    assert "Traceback" not in captured.err
    return lines[0]


def test_the_version_is_the_packages(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"flowformers {flowformers.__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(capsys, command):
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    assert f"usage: flowformers {command}" in capsys.readouterr().out


def test_help_of_serve_lists_tensorflow_servings_flags(capsys):
    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    out = capsys.readouterr().out
    for flag in ("--port", "--rest_api_port", "--rest_api_timeout_in_ms", "--file_system_poll_wait_seconds"):
        assert flag in out


@pytest.mark.parametrize("words", [[], ["nope"], ["serve"], ["serve", "x", "--port", "many"], ["export", "x"]])
def test_wrong_usage_exits_with_2(words):
    done = subprocess.run([sys.executable, "-m", "flowformers", *words], capture_output=True, text=True)
    assert (done.returncode, "usage: flowformers" in done.stderr) == (2, True)
    assert "Traceback" not in done.stderr


def test_export_writes_what_inspect_prints(capsys, checkpoint, tmp_path):
    assert main(["export", str(checkpoint), str(tmp_path / "out")]) == 0
    capsys.readouterr()
    assert main(["inspect", str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    assert "signature_def['serving_default']" in out
    assert "signature_def['int64_serving']" in out


@pytest.mark.parametrize("command", ["serve", "export"])
def test_a_model_that_is_not_there_is_told(capsys, tmp_path, command):
    out = [str(tmp_path / "out")] if command == "export" else []
    text = refusal(capsys, command, str(tmp_path / "nothing"), *out)
    assert "expected a checkpoint folder or a Hub id" in text


def test_a_folder_without_a_model_is_told(capsys, tmp_path):
    assert "config.json" in refusal(capsys, "serve", str(tmp_path))
    assert "saved_model.pb" in refusal(capsys, "inspect", str(tmp_path))


def test_one_saved_model_instead_of_versions_is_told(capsys, checkpoint, tmp_path):
    main(["export", str(checkpoint), str(tmp_path / "out")])
    capsys.readouterr()
    text = refusal(capsys, "serve", str(tmp_path / "out" / "saved_model" / "1"))
    assert "give the folder above it" in text


def test_a_broken_saved_model_is_told(capsys, tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"\xff\xff\xff")
    assert "is not a SavedModel" in refusal(capsys, "inspect", str(tmp_path))


def test_damaged_weights_are_told(capsys, checkpoint, tmp_path):
    (checkpoint / "model.safetensors").write_bytes(b"\x00" * 5)
    assert "model.safetensors" in refusal(capsys, "export", str(checkpoint), str(tmp_path / "out"))


def test_an_architecture_without_class_is_told(capsys, checkpoint, tmp_path):
    config = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps(config | {"architectures": ["BertForDancing"]}))
    assert "BertForDancing" in refusal(capsys, "export", str(checkpoint), str(tmp_path / "out"))


def test_debug_shows_the_traceback(tmp_path):
    with pytest.raises(flowformers.errors.NotFound):
        main(["inspect", str(tmp_path), "--debug"])


def test_a_checkpoint_is_exported_once_and_again_only_when_it_changes(checkpoint, tmp_path, monkeypatch, caplog):
    from flowformers.cli.serve import servable_base

    monkeypatch.setenv("FLOWFORMERS_CACHE", str(tmp_path / "cache"))
    with caplog.at_level(logging.INFO):
        first = servable_base(str(checkpoint), None, {})
        made = (first / "1" / "saved_model.pb").stat().st_mtime_ns
        assert servable_base(str(checkpoint), None, {}) == first
        assert (first / "1" / "saved_model.pb").stat().st_mtime_ns == made
        config = json.loads((checkpoint / "config.json").read_text())
        (checkpoint / "config.json").write_text(json.dumps(config | {"output_hidden_states": True}))
        assert servable_base(str(checkpoint), None, {}) != first


def test_a_checkpoint_to_be_served_in_batches_attends_by_length(checkpoint, tmp_path, monkeypatch):
    served = []
    monkeypatch.setenv("FLOWFORMERS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("flowformers.serving.run", lambda settings: served.append(settings.model_base_path) or 0)
    for flags in ([], ["--enable_batching"], ["--enable_batching=false"]):
        assert main(["serve", str(checkpoint), *flags]) == 0
    alone, together, alone_again = served
    assert alone == alone_again
    conditions = [b"StatelessIf" in (base / "1" / "saved_model.pb").read_bytes() for base in (alone, together)]
    assert conditions == [False, True]


@pytest.mark.parametrize("given", ["", "saved_model"])
def test_an_exported_folder_is_served_as_it_is(checkpoint, tmp_path, given):
    from flowformers.cli.serve import default_name, servable_base

    main(["export", str(checkpoint), str(tmp_path / "mine")])
    assert servable_base(str(tmp_path / "mine" / given), None, {}) == tmp_path / "mine" / "saved_model"
    assert default_name(str(tmp_path / "mine" / given)) == "mine"
