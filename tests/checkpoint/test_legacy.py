"""Checkpoints of other times: TensorFlow 1, shards of transformers 4, and conversion between formats."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import load_file

import flowformers
from flowformers.cli import main
from flowformers.errors import CheckpointError
from tests.conftest import tiny_config

HEADS = ("ForPreTraining", "ForSequenceClassification")


def same_weights(one, other):
    pairs = zip(one.slots(), other.slots(), strict=True)
    return all(np.array_equal(a.variable.numpy(), b.variable.numpy()) for a, b in pairs)


def google_name(name, kind):
    """PyTorch's name -> the variable in google-research/bert's checkpoints."""
    known = {
        "classifier.weight": "output_weights",
        "classifier.bias": "output_bias",
        "cls.predictions.bias": "cls/predictions/output_bias",
        "cls.seq_relationship.weight": "cls/seq_relationship/output_weights",
        "cls.seq_relationship.bias": "cls/seq_relationship/output_bias",
    }
    if name in known:
        return known[name]
    path = name.rpartition(".")[0].replace("layer.", "layer_").replace(".", "/")
    return path if kind == "table" else f"{path}/{kind}"


@pytest.fixture(params=HEADS)
def google(request, tmp_path):
    """(folder, model): bert_config.json and bert_model.ckpt.*, with an optimiser's variables in between."""
    model = getattr(flowformers, f"TFBert{request.param}")(tiny_config())
    values = {}
    for slot in model.slots():
        name, value = slot.parameter.file_name, slot.variable.numpy()
        # Google keeps classifiers as [labels, hidden], every other kernel as [inputs, units].
        turned = name.endswith(("classifier.weight", "relationship.weight"))
        values[google_name(name, slot.parameter.kind)] = value.T if turned else value
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        for variable, value in values.items():
            tf.compat.v1.get_variable(variable, initializer=value)
            tf.compat.v1.get_variable(f"{variable}/adam_m", initializer=np.zeros_like(value))
        tf.compat.v1.get_variable("global_step", initializer=np.int64(7))
        session.run(tf.compat.v1.global_variables_initializer())
        tf.compat.v1.train.Saver().save(session, str(tmp_path / "bert_model.ckpt"), write_meta_graph=False)
    fields = {key: value for key, value in model.config.to_dict().items() if key != "model_type"}
    (tmp_path / "bert_config.json").write_text(json.dumps(fields))
    return tmp_path, model


def test_googles_checkpoints_give_every_weight(google):
    folder, model = google
    loaded, info = type(model).from_pretrained(folder, output_loading_info=True)
    assert same_weights(loaded, model)
    assert info["missing_keys"] == info["unexpected_keys"] == info["mismatched_keys"] == []


def test_googles_checkpoint_without_its_data_is_told(google):
    folder, model = google
    next(folder.glob("bert_model.ckpt.data-*")).unlink()
    with pytest.raises(CheckpointError, match=r"bert_model\.ckpt"):
        type(model).from_pretrained(folder)


def test_shards_of_transformers_4_are_read(tmp_path, classifier):
    """Datasets at variable paths without the model's name; the index maps full names to files."""
    classifier.save_pretrained(tmp_path)
    datasets = {}
    with h5py.File(tmp_path / "tf_model.h5") as file:
        file.visititems(
            lambda path, x: datasets.update({path.split("/", 1)[1]: x[()]}) if hasattr(x, "shape") else None
        )
    (tmp_path / "tf_model.h5").unlink()
    weight_map = {}
    for number in (1, 2):
        name = f"tf_model-{number:05}-of-00002.h5"
        part = dict(sorted(datasets.items())[number - 1 :: 2])
        with h5py.File(tmp_path / name, "w") as shard:
            names = [full.partition("/")[2] for full in part]
            for full, bare in zip(part, names, strict=True):
                shard[bare] = part[full]
            shard.attrs["layer_names"] = [bare.encode() for bare in names]
        weight_map |= dict.fromkeys(part, name)
    index = {"metadata": {"total_size": 1}, "weight_map": weight_map}
    (tmp_path / "tf_model.h5.index.json").write_text(json.dumps(index))
    assert same_weights(flowformers.TFBertForSequenceClassification.from_pretrained(tmp_path), classifier)


def test_conversion_there_and_back_changes_no_bit(minilm, tmp_path, capsys):
    plain = Path(shutil.copytree(minilm, tmp_path / "plain"))
    (plain / "modules.json").unlink()
    for target, source, to in [("h5", "plain", "h5"), ("back", "h5", "safetensors")]:
        assert main(["convert", str(tmp_path / source), str(tmp_path / target), "--to", to]) == 0
    assert (tmp_path / "h5" / "tf_model.h5").is_file()
    before, after = load_file(plain / "model.safetensors"), load_file(tmp_path / "back" / "model.safetensors")
    ours = {name.removeprefix("bert."): x for name, x in after.items()}
    assert set(ours) == {name for name in before if not name.endswith("position_ids")}
    assert all(np.array_equal(before[name], x) for name, x in ours.items())
    assert (tmp_path / "back" / "tokenizer.json").read_bytes() == (plain / "tokenizer.json").read_bytes()


def test_converting_onto_itself_is_refused(minilm, capsys):
    assert main(["convert", str(minilm), str(minilm), "--to", "h5"]) == 1
    assert "expected a DST other than SRC" in capsys.readouterr().err
