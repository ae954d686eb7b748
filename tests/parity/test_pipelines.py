"""Text signatures answer as transformers' pipelines: labels and spans equal, scores within 1e-5.

What the pipelines answer to the first texts of tiny models is frozen in golden/, so no PyTorch is needed here.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from . import texts
from .texts import CASES, FROZEN

TOLERANCE = 1e-5
COUNT = 500
GOLDEN = json.loads(gzip.decompress((Path(__file__).parent / "golden" / "text" / "pipelines.json.gz").read_bytes()))


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


def answers(case, folder, inputs):
    """What the signature says, in the pipelines' form."""
    columns = dict(zip(case.arguments, zip(*inputs, strict=True), strict=True))
    rows = run(texts.signatures(folder, case.options)["text"], **columns)
    return [FORMS[case.task](row) for row in rows]


MASK_FIELDS = ("token", "token_str", "sequence", "score")
FORMS = {
    "text-classification": lambda row: {name: row[name] for name in ("label", "score")},
    "token-classification": lambda row: items(row, ("label", "score", "word", "start", "end"), row["count"]),
    "fill-mask": lambda row: [items(mask, MASK_FIELDS, None) for mask in items(row, MASK_FIELDS, row["count"])],
    "question-answering": lambda row: row,
}


def test_every_case_is_frozen():
    assert set(GOLDEN) == {case.name for case in CASES}


# Strategies of one kind with others: each export takes seconds.
TWINS = ("token-classification, max", "token-classification, average", "token-classification, simple in windows")


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=[pytest.mark.slow] * (case.name in TWINS), id=case.name) for case in CASES]
)
def test_answers_equal_the_frozen_ones_of_the_pipeline(case, minilm, tmp_path):
    inputs = case.inputs(FROZEN)
    assert_same(inputs, answers(case, case.folder(tmp_path, minilm), inputs), GOLDEN[case.name])


@pytest.mark.torch
@pytest.mark.slow
@pytest.mark.parametrize("real", [False, True], ids=["tiny", "minilm"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_answers_equal_the_pipeline(case, real, minilm, tmp_path):
    from . import pipelines

    inputs, folder = case.inputs(COUNT), case.folder(tmp_path, minilm, real=real)
    assert_same(inputs, answers(case, folder, inputs), pipelines.answers(case, folder, inputs))
