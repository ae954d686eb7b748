"""Nothing is lost silently: every tensor is loaded, or said to be missing, unused or of another shape."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import flowformers
from flowformers.errors import ConfigError, InvalidInput, NotFound, UnknownFamily, WeightsMismatch
from tests.conftest import tiny_config


@pytest.fixture
def folder(tmp_path, classifier):
    classifier.save_pretrained(tmp_path, safe_serialization=True)
    return tmp_path


def edit(folder, change):
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def configure(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_the_account_names_what_was_loaded(folder):
    _, info = flowformers.TFBertForSequenceClassification.from_pretrained(folder, output_loading_info=True)
    assert sorted(info["loaded_keys"]) == sorted(load_file(folder / "model.safetensors"))


def test_a_missing_encoder_weight_is_an_error_that_lists_all(folder):
    lost = [f"bert.encoder.layer.{n}.output.dense.bias" for n in range(2)]
    edit(folder, lambda tensors: [tensors.pop(name) for name in lost])
    with pytest.raises(WeightsMismatch, match=r"2 missing: .*layer\.0\.output\.dense\.bias, .*layer\.1\."):
        flowformers.TFBertForSequenceClassification.from_pretrained(folder)


def test_every_weight_of_another_shape_is_listed_with_both_shapes(folder):
    configure(folder, vocab_size=41, intermediate_size=25)
    with pytest.raises(WeightsMismatch, match=r"7 of another shape: .*\[40, 16\] in the file, \[41, 16\] in the model"):
        flowformers.TFBertForSequenceClassification.from_pretrained(folder)


def test_weights_of_another_shape_start_afresh_where_that_is_wished(folder):
    model, info = flowformers.TFBertForSequenceClassification.from_pretrained(
        folder, num_labels=5, ignore_mismatched_sizes=True, output_loading_info=True
    )
    assert model.config.num_labels == 5
    assert [name for name, *_ in info["mismatched_keys"]] == ["classifier.weight", "classifier.bias"]
    assert np.std(model.head.classifier.kernel.numpy()) > 0


def test_a_new_head_is_told_in_one_warning(folder, caplog):
    with caplog.at_level(logging.WARNING):
        flowformers.TFBertForTokenClassification.from_pretrained(folder, num_labels=2)
        flowformers.TFBertForQuestionAnswering.from_pretrained(folder)
    assert [record.getMessage() for record in caplog.records] == [
        "TFBertForQuestionAnswering: 2 weights are not in the checkpoint and start fresh: qa_outputs.weight, "
        "qa_outputs.bias. Train before you use predictions."
    ]


def test_a_strict_load_refuses_a_new_head_and_leaves_out_a_new_pooler(folder):
    with pytest.raises(WeightsMismatch, match=r"2 weights of TFBertForQuestionAnswering .* random: qa_outputs\.weight"):
        flowformers.TFBertForQuestionAnswering.from_pretrained(folder, strict=True)
    edit(folder, lambda tensors: [tensors.pop(name) for name in list(tensors) if "pooler" in name])
    assert "pooler_output" not in flowformers.TFAutoModel.from_pretrained(folder, strict=True)(np.array([[1, 2]]))


def test_tensors_that_nothing_reads_are_told(folder, caplog):
    edit(folder, lambda tensors: tensors.update(stray=np.zeros(2, np.float32)))
    with caplog.at_level(logging.WARNING):
        _, info = flowformers.TFBertModel.from_pretrained(folder, output_loading_info=True)
    assert info["unexpected_keys"] == ["classifier.bias", "classifier.weight", "stray"]
    assert "holds tensors that nothing here reads: stray" in caplog.text


# Where the model can't even be named


def test_an_unknown_family_is_told_with_those_that_exist(folder):
    configure(folder, model_type="gpt2")
    with pytest.raises(
        UnknownFamily, match=r"bert, camembert, distilbert, electra, mpnet, roberta, xlm-roberta; got .gpt2."
    ):
        flowformers.TFAutoModel.from_pretrained(folder)


def test_a_checkpoint_of_another_family_is_refused(folder):
    with pytest.raises(InvalidInput, match="bert"):
        flowformers.TFElectraModel.from_pretrained(folder)


@pytest.mark.parametrize(
    ("content", "error"), [("{", ConfigError), ("[]", ConfigError), ('{"hidden_size": 8}', InvalidInput)]
)
def test_a_config_that_says_too_little_is_refused(folder, content, error):
    (folder / "config.json").write_text(content)
    with pytest.raises(error, match=r"config\.json|model_type"):
        flowformers.TFAutoModel.from_pretrained(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"hidden_act": "magic"},
        {"num_attention_heads": 3},
        {"num_attention_heads": 0},
        {"hidden_size": 0},
        {"position_embedding_type": "relative_key"},
        {"hidden_size": "16"},
        {"num_hidden_layers": None},
        {"layer_norm_eps": "small"},
        {"id2label": ["a", "b"]},
        {"id2label": {"a": "0", "b": "1"}},
    ],
)
def test_a_config_value_that_changes_answers_is_never_guessed(folder, change):
    configure(folder, **change)
    with pytest.raises(ConfigError, match=next(iter(change))):
        flowformers.TFAutoModel.from_pretrained(folder)


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "a b", "no/such/thing"])
def test_a_name_that_is_no_folder_is_not_found(name):
    with pytest.raises(NotFound, match="expected a checkpoint folder or a Hub id"):
        flowformers.TFAutoModel.from_pretrained(name)


def test_a_hub_id_offline_tells_what_to_check(monkeypatch, tmp_path):
    with pytest.raises(NotFound, match=r"owner/none.*Check the spelling, the network"):
        flowformers.TFAutoModel.from_pretrained("owner/none", local_files_only=True, cache_dir=tmp_path)


def test_a_hub_snapshot_in_the_cache_is_used_offline(folder, tmp_path_factory):
    """The cache's layout is huggingface_hub's: refs name a commit, snapshots hold its files."""
    cache = tmp_path_factory.mktemp("hub")
    commit = "0" * 40
    snapshot = cache / "models--owner--tiny" / "snapshots" / commit
    (snapshot.parent.parent / "refs").mkdir(parents=True)
    (snapshot.parent.parent / "refs" / "main").write_text(commit)
    snapshot.parent.mkdir()
    folder.rename(snapshot)
    model = flowformers.TFAutoModelForSequenceClassification.from_pretrained(
        "owner/tiny", cache_dir=cache, local_files_only=True
    )
    assert model.config.hidden_size == 16


def test_a_subfolder_is_looked_into(folder, tmp_path_factory):
    parent = tmp_path_factory.mktemp("parent")
    folder.rename(parent / "inner")
    assert flowformers.TFAutoModel.from_pretrained(parent, subfolder="inner").config.hidden_size == 16
    with pytest.raises(NotFound, match="other"):
        flowformers.TFAutoModel.from_pretrained(parent, subfolder="other")


def test_config_fields_given_as_keywords_change_the_config(folder):
    model = flowformers.TFBertModel.from_pretrained(folder, output_attentions=True, add_pooling_layer=False)
    assert model.config.output_attentions
    assert "pooler_output" not in model(np.array([[1, 2]]))


def test_saving_onto_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InvalidInput, match="expected a folder to save to"):
        flowformers.TFBertModel(tiny_config()).save_pretrained(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"
