"""The command line: help at once, results on stdout, errors in one line."""

from __future__ import annotations

import json
import logging
import os
import shutil
import socket
import subprocess
import sys

import numpy as np
import pytest

import flowformers
from flowformers.cli import COMMANDS, main
from tests.conftest import tiny_config


@pytest.fixture
def checkpoint(tmp_path, classifier):
    classifier.save_pretrained(tmp_path / "model", safe_serialization=True)
    return tmp_path / "model"


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A classifier with its SavedModel: make a copy to change it."""
    folder = tmp_path_factory.mktemp("exported") / "mine"
    flowformers.TFBertForSequenceClassification(tiny_config(num_hidden_layers=1)).save_pretrained(
        folder, saved_model=True
    )
    return folder


@pytest.fixture
def copied(exported, tmp_path):
    return shutil.copytree(exported, tmp_path / "mine")  # with the times of the files


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
    assert f"config.json and weights, or numbered SavedModels such as {tmp_path}/1" in refusal(
        capsys, "serve", str(tmp_path)
    )
    assert "saved_model.pb" in refusal(capsys, "inspect", str(tmp_path))


FILES = ["api_key_file", "ssl_config_file", "rest_api_ssl_config_file", "monitoring_config_file"]


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_told_before_a_checkpoint_is_exported(capsys, checkpoint, tmp_path, monkeypatch, name):
    monkeypatch.setenv("FLOWFORMERS_CACHE", str(tmp_path / "cache"))
    ports = ["--port=-1", "--rest_api_port=-1"]
    assert "no such file" in refusal(capsys, "serve", str(checkpoint), *ports, f"--{name}={tmp_path}/none")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(("name", "other"), [("port", "rest_api_port"), ("rest_api_port", "port")])
def test_a_port_in_use_is_told_before_a_checkpoint_is_exported(capsys, checkpoint, tmp_path, monkeypatch, name, other):
    monkeypatch.setenv("FLOWFORMERS_CACHE", str(tmp_path / "cache"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        told = refusal(capsys, "serve", str(checkpoint), f"--{name}={number}", f"--{other}=-1")
    assert told.endswith(f"can't listen on 127.0.0.1:{number}: Address already in use. Choose another with --{name}")
    assert not (tmp_path / "cache").exists()


def test_an_address_of_another_machine_is_told_with_its_flag(capsys, exported):
    base = str(exported / "saved_model")
    assert "Choose another with --host" in refusal(capsys, "serve", base, "--host=192.0.2.1", "--rest_api_port=18501")


def test_one_saved_model_instead_of_versions_is_told(capsys, exported):
    text = refusal(capsys, "serve", str(exported / "saved_model" / "1"))
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


# What a checkpoint has not


@pytest.mark.parametrize("command", ["export", "convert"])
def test_weights_that_are_not_in_the_checkpoint_are_not_made_up(capsys, checkpoint, tmp_path, command):
    words = [str(checkpoint), str(tmp_path / "out"), "--task", "question-answering"]
    text = refusal(capsys, command, *words, *(["--to", "h5"] if command == "convert" else []))
    assert "qa_outputs.weight, qa_outputs.bias" in text
    assert "--task" in text
    assert not (tmp_path / "out").exists()


def test_predict_does_not_answer_with_a_head_that_was_never_trained(capsys, checkpoint, tmp_path, monkeypatch):
    monkeypatch.setenv("FLOWFORMERS_CACHE", str(tmp_path / "cache"))
    assert "qa_outputs.weight" in refusal(capsys, "predict", str(checkpoint), "--task", "question-answering", "Who?")


def test_a_base_model_without_pooler_is_exported_without_pooler_output(checkpoint, tmp_path):
    bare = flowformers.TFBertModel.from_pretrained(checkpoint, add_pooling_layer=False)
    bare.save_pretrained(tmp_path / "bare", safe_serialization=True)
    assert main(["convert", str(tmp_path / "bare"), str(tmp_path / "out"), "--to", "h5"]) == 0
    _, info = flowformers.TFBertModel.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert info["missing_keys"] == ["bert.pooler.dense.weight", "bert.pooler.dense.bias"]


def test_a_model_that_answers_nan_is_not_exported(capsys, classifier, tmp_path):
    classifier.head.classifier.bias.assign([0.0, np.nan])
    classifier.save_pretrained(tmp_path / "model")
    text = refusal(capsys, "export", str(tmp_path / "model"), str(tmp_path / "out"))
    assert "its logits is NaN" in text
    assert not (tmp_path / "out").exists()


def test_texts_to_measure_fp32_on_are_refused(capsys, checkpoint, tmp_path):
    text = refusal(capsys, "export", str(checkpoint), str(tmp_path / "out"), "--calibrate", str(tmp_path / "texts"))
    assert "fp32 changes nothing" in text


def test_a_place_where_no_folder_can_be_made_is_told(capsys, checkpoint, tmp_path):
    (tmp_path / "file").write_text("in the way")
    text = refusal(capsys, "export", str(checkpoint), str(tmp_path / "file" / "out"), "--no-text")
    assert "can't make the folder" in text


def test_an_option_that_is_not_there_prints_the_usage_of_its_command(capsys, checkpoint):
    with pytest.raises(SystemExit, match="2"):
        main(["export", str(checkpoint), "x", "--foo"])
    err = capsys.readouterr().err
    assert err.startswith("usage: flowformers export")
    assert "unrecognized arguments: --foo" in err


@pytest.mark.parametrize("task", ["text-classification", "sequence-classification"])
def test_a_task_may_be_called_what_pipelines_call_it(checkpoint, task):
    from flowformers.models import class_of

    assert class_of(checkpoint, task) is flowformers.TFAutoModelForSequenceClassification


COMMANDS_IN_TURN = """
import sys
from flowformers.cli import command
for words in {words}:
    sys.argv = ["flowformers", *words]
    command()
"""


def test_the_terminal_shows_what_was_found_and_nothing_of_other_libraries(copied, tmp_path):
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{index}" for index in range(35))]
    (copied / "vocab.txt").write_text("\n".join(words) + "\n")
    out = str(tmp_path / "out")
    turns = [["export", str(copied), out, "--precision", "bf16", "--no-text"], ["predict", out, "w1"]]
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS_IN_TURN.format(words=turns)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": ":".join(sys.path), "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    lines = [
        line for line in done.stderr.splitlines() if not line.startswith(("WARNING: All log messages", "I0", "E0"))
    ]
    report, refused = lines
    assert report.startswith("bf16 against fp32 on 8 texts: logits differs by at most")
    assert refused.startswith("flowformers: error: expected a signature `text`")


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


@pytest.mark.parametrize("newer", ["config.json", "tf_model.h5"])
def test_weights_newer_than_the_saved_model_beside_them_are_told(copied, newer, caplog):
    from flowformers.cli.serve import servable_base

    made = (copied / "saved_model" / "1" / "saved_model.pb").stat().st_mtime
    assert servable_base(str(copied), None, {}) == copied / "saved_model"
    assert not caplog.messages
    os.utime(copied / newer, (made + 9, made + 9))
    assert servable_base(str(copied), None, {}) == copied / "saved_model"
    (text,) = caplog.messages
    assert text.startswith(f"{newer} in {copied}: newer than {copied / 'saved_model' / '1' / 'saved_model.pb'}")
    caplog.clear()
    servable_base(str(copied / "saved_model"), None, {})
    assert not caplog.messages


def test_a_task_is_for_the_checkpoint_and_not_for_the_saved_model_beside_it(copied, tmp_path, monkeypatch, capsys):
    from flowformers.cli.serve import servable_base

    monkeypatch.setenv("FLOWFORMERS_CACHE", str(tmp_path / "cache"))
    assert tmp_path / "cache" in servable_base(str(copied), "text-encoding", {}).parents
    text = refusal(capsys, "predict", str(copied / "saved_model"), "--task", "text-encoding", "w1")
    assert "leave --task out" in text


@pytest.mark.parametrize("given", ["", "saved_model"])
def test_an_exported_folder_is_served_as_it_is(exported, given):
    from flowformers.cli.serve import default_name, servable_base

    assert servable_base(str(exported / given), None, {}) == exported / "saved_model"
    assert default_name(str(exported / given)) == "mine"
