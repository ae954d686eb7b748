"""Text signatures answer as transformers' pipelines: labels and spans equal, scores within 1e-5."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from . import texts

TOLERANCE = 1e-5
COUNT = 500
STRATEGIES = (
    {"aggregation_strategy": "none"},
    {"aggregation_strategy": "simple"},
    {"aggregation_strategy": "first"},
    {"aggregation_strategy": "average"},
    {"aggregation_strategy": "max"},
    {"aggregation_strategy": "simple", "stride": 8},
    {"aggregation_strategy": "average", "stride": 8},
)
QUESTIONS = ({}, {"handle_impossible_answer": True}, {"max_seq_len": 40, "doc_stride": 7, "max_answer_len": 4})
PROBLEMS = (
    {"num_labels": 3},
    {"num_labels": 1},
    {"num_labels": 1, "problem_type": "regression"},
    {"num_labels": 4, "problem_type": "multi_label_classification"},
)


def run(function, **inputs):
    """One dict of plain values for each row, strings decoded."""
    answers = {}
    for start in range(0, len(next(iter(inputs.values()))), 100):
        chunk = function(**{name: tf.constant(values[start : start + 100]) for name, values in inputs.items()})
        for name, value in chunk.items():
            answers.setdefault(name, []).extend(value.numpy().tolist())
    rows = [dict(zip(answers, row, strict=True)) for row in zip(*answers.values(), strict=True)]
    return [{name: decoded(value) for name, value in row.items()} for row in rows]


def decoded(value):
    if isinstance(value, list):
        return [decoded(one) for one in value]
    return value.decode() if isinstance(value, bytes) else value


def assert_same(texts, got, expected):
    """Lists of answers or of lists of answers; scores to the tolerance, all else equal."""
    assert len(texts) == len(got) == len(expected)
    for text, ours, theirs in zip(texts, got, expected, strict=True):
        assert plain(ours) == plain(theirs), ascii(text)
        np.testing.assert_allclose(scores(ours), scores(theirs), rtol=0, atol=TOLERANCE, err_msg=ascii(text))


def plain(answer):
    if isinstance(answer, list):
        return [plain(one) for one in answer]
    return {name: value for name, value in answer.items() if name != "score"}


def scores(answer):
    return [score for one in answer for score in scores(one)] if isinstance(answer, list) else [answer["score"]]


def items(row, names, count):
    return [
        dict(zip(names, values, strict=True)) for values in zip(*(row[name][:count] for name in names), strict=True)
    ]


# What the signatures say, in the pipelines' form


def classify(folder, corpus):
    rows = run(texts.signatures(folder)["text"], text=corpus)
    return [{name: row[name] for name in ("label", "score")} for row in rows]


def entities(folder, corpus, options):
    rows = run(texts.signatures(folder, options)["text"], text=corpus)
    return [items(row, ("label", "score", "word", "start", "end"), row["count"]) for row in rows]


def fill(folder, corpus):
    names = ("token", "token_str", "sequence", "score")
    answers = []
    for row in run(texts.signatures(folder)["text"], text=corpus):
        masks = items(row, names, row["count"])
        answers.append([items(mask, names, None) for mask in masks])
    return answers


def answer_questions(folder, pairs, options):
    asked, contexts = map(list, zip(*pairs, strict=True))
    return run(texts.signatures(folder, options)["text"], question=asked, context=contexts)


# Against PyTorch

live = [pytest.mark.torch, pytest.mark.slow]


def marked(*values, id):
    return pytest.param(*values, marks=live, id=id)


SIZES = [marked(False, id="tiny"), marked(True, id="minilm")]


@pytest.mark.parametrize("real", SIZES)
def test_classification_equals_the_pipeline(minilm, tmp_path, real):
    from . import pipelines

    corpus = texts.corpus(COUNT)
    for number, fields in enumerate(PROBLEMS[: 1 if real else None]):
        folder = texts.make_folder("text-classification", tmp_path / str(number), minilm, real=real, **fields)
        assert_same(corpus, classify(folder, corpus), pipelines.classify(folder, corpus))


@pytest.mark.parametrize("real", SIZES)
def test_token_classification_equals_the_pipeline(minilm, tmp_path, real):
    from . import pipelines

    folder = texts.make_folder("token-classification", tmp_path, minilm, real=real)
    corpus = texts.corpus(COUNT)
    for options in STRATEGIES:
        assert_same(corpus, entities(folder, corpus, options), pipelines.entities(folder, corpus, options))


@pytest.mark.parametrize("real", SIZES)
def test_fill_mask_equals_the_pipeline(minilm, tmp_path, real):
    from . import pipelines

    folder = texts.make_folder("fill-mask", tmp_path, minilm, real=real)
    corpus = texts.masked(COUNT)
    assert_same(corpus, fill(folder, corpus), pipelines.fill(folder, corpus))


@pytest.mark.parametrize("real", SIZES)
def test_question_answering_equals_transformers_4s_pipeline(minilm, tmp_path, real):
    from . import pipelines

    folder = texts.make_folder("question-answering", tmp_path, minilm, real=real)
    pairs = texts.questions(COUNT)
    for options in QUESTIONS:
        got = answer_questions(folder, pairs, options)
        assert_same(pairs, got, pipelines.answer_questions(folder, pairs, **options))
