"""Where a config or model comes from is said as in transformers: a folder or a Hub id, with the Hub's keywords."""

from __future__ import annotations

import json

import huggingface_hub
import pytest

import flowformers
from flowformers.errors import ConfigError, InvalidInput, NotFound
from flowformers.export import export_checkpoint
from tests.conftest import tiny_config

COMMIT = "0" * 40


@pytest.fixture
def cache(tmp_path):
    """A Hub cache with owner/tiny, a BERT of three labels; the layout is huggingface_hub's."""
    repository = tmp_path / "models--owner--tiny"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    model = flowformers.TFBertForSequenceClassification(tiny_config(num_labels=3, num_hidden_layers=1))
    model.save_pretrained(repository / "snapshots" / COMMIT, safe_serialization=True)
    return {"cache_dir": tmp_path, "local_files_only": True}


@pytest.mark.parametrize("name", ["BertConfig", "AutoConfig"])
def test_a_config_is_read_by_hub_id(cache, name):
    config = getattr(flowformers, name).from_pretrained("owner/tiny", **cache, output_attentions=True)
    assert (config.num_labels, config.output_attentions) == (3, True)


def test_a_config_named_by_hub_id_is_that_of_the_model(cache):
    model = flowformers.TFBertForSequenceClassification.from_pretrained("owner/tiny", config="owner/tiny", **cache)
    assert model.config.num_labels == 3


def test_a_config_that_is_nowhere_is_not_found(cache):
    with pytest.raises(NotFound, match="owner/none"):
        flowformers.BertConfig.from_pretrained("owner/none", **cache)


def test_what_says_how_to_download_is_no_field(cache):
    config = flowformers.AutoConfig.from_pretrained("owner/tiny", **cache, trust_remote_code=True, proxies=None)
    assert not {"trust_remote_code", "proxies"} & set(config.to_dict())


def test_the_token_may_have_its_old_name(cache, monkeypatch):
    given = []
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, token, **__: given.append(token) or "/nowhere")
    for name in ("token", "use_auth_token"):
        with pytest.raises(NotFound):
            flowformers.TFBertModel.from_pretrained("owner/tiny", **cache, **{name: "secret"})
    assert given == ["secret", "secret"]
    with pytest.raises(InvalidInput, match="got both"):
        flowformers.BertConfig.from_pretrained("owner/tiny", token="a", use_auth_token="b")


def test_proxies_are_refused_with_what_to_do_instead(cache):
    with pytest.raises(InvalidInput, match="HTTPS_PROXY"):
        flowformers.TFBertModel.from_pretrained("owner/tiny", **cache, proxies={"https": "proxy:3128"})


def test_labels_that_contradict_their_number_are_refused():
    with pytest.raises(ConfigError, match="num_labels 2, as id2label has; got 3"):
        tiny_config(num_labels=3, id2label={0: "no", 1: "yes"})


def test_a_config_file_may_hold_labels_and_their_number(tmp_path):
    fields = tiny_config(id2label={0: "no", 1: "yes"}).to_dict() | {"num_labels": 2}
    (tmp_path / "config.json").write_text(json.dumps(fields))

    def labels(**changes):
        return list(flowformers.BertConfig.from_pretrained(tmp_path, **changes).id2label.values())

    assert labels() == labels(num_labels=2) == ["no", "yes"]
    assert labels(num_labels=3) == ["LABEL_0", "LABEL_1", "LABEL_2"]
    assert labels(id2label={0: "a", 1: "b", 2: "c"}) == ["a", "b", "c"]


def test_labels_that_are_not_counted_from_0_are_told_where_they_are_read(tmp_path):
    cls, labels = flowformers.TFBertForSequenceClassification, {1: "no", 2: "yes"}
    cls(tiny_config(num_hidden_layers=1, id2label=labels)).save_pretrained(tmp_path)
    model = cls.from_pretrained(tmp_path)
    assert model.config.id2label == labels
    with pytest.raises(ConfigError, match=r"id2label to be counted from 0, as it names the 2 logits; got .*'no'"):
        model.save_pretrained(tmp_path, saved_model=True, examples=True)
    assert cls.from_pretrained(tmp_path, id2label={0: "no", 1: "yes"}).config.id2label[0] == "no"


def test_a_slip_in_an_exports_task_is_told_before_anything_is_downloaded(cache, tmp_path):
    with pytest.raises(InvalidInput, match=r"expected a task of .*sequence-classification"):
        export_checkpoint("owner/none", tmp_path / "out", task="classify", **cache)


def test_an_export_asks_the_hub_once(cache, tmp_path, monkeypatch):
    """A branch may move between two questions."""
    asked, download = [], huggingface_hub.snapshot_download
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *a, **k: asked.append(a) or download(*a, **k))
    export_checkpoint("owner/tiny", tmp_path / "out", precision="bf16", **cache)
    assert len(asked) == 1


def test_a_slip_in_a_keyword_is_told_with_what_may_be_meant(classifier, tmp_path):
    classifier.save_pretrained(tmp_path)
    with pytest.raises(TypeError, match=r"'num_label'.*Did you mean num_labels"):
        flowformers.TFBertForSequenceClassification.from_pretrained(tmp_path, num_label=3)


def test_a_dict_is_no_config(classifier, tmp_path):
    classifier.save_pretrained(tmp_path)
    with pytest.raises(InvalidInput, match=r"BertConfig\.from_dict"):
        flowformers.TFBertForSequenceClassification.from_pretrained(tmp_path, config={"num_labels": 3})
