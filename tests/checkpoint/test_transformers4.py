"""tf_model.h5 goes to transformers 4.57.3 and comes back. Run by scripts/exchange, which makes its environment."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

import flowformers
from tests.parity.cases import HEADS, WITHOUT_TOKEN_TYPES, make_case

PYTHON = os.environ.get("FLOWFORMERS_TRANSFORMERS4_PYTHON")
SCRIPT = Path(__file__).parent / "exchange.py"
SEED = 1
ACTIVATION_FIELD = {"distilbert": "activation"}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PYTHON is None, reason="scripts/exchange sets FLOWFORMERS_TRANSFORMERS4_PYTHON"),
]


def model_of(model_type, head):
    stem = HEADS[model_type][0]
    case = make_case(model_type, head, SEED)
    fields = case.config | {ACTIVATION_FIELD.get(model_type, "hidden_act"): "gelu"}
    if "pad_token_id" in fields:
        fields["pad_token_id"] = (
            1  # transformers 4 TensorFlow counts RoBERTa's positions from 1 whatever the config says
        )
    config = getattr(flowformers, f"{stem}Config")(**fields)
    return getattr(flowformers, f"TF{stem}{head}")(config)


def request_for(model, model_type):
    shape = (2, 3, 7) if model.head_spec.choices else (2, 7)
    ids = np.random.default_rng(3).integers(5, model.config.vocab_size, shape).astype(np.int32)
    request = {"input_ids": ids, "attention_mask": np.ones(shape, np.int32)}
    if model_type not in WITHOUT_TOKEN_TYPES:
        request["token_type_ids"] = np.zeros(shape, np.int32)
    return request


@pytest.fixture(scope="module")
def exchanged(tmp_path_factory):
    """(folder, account): every family and head, written here, read and written there."""
    root = tmp_path_factory.mktemp("exchange")
    for model_type, (_, heads) in HEADS.items():
        for head in heads:
            folder = root / f"{model_type}-{head}"
            model = model_of(model_type, head)
            model.save_pretrained(folder / "ours")
            np.savez(folder / "request.npz", **request_for(model, model_type))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([str(PYTHON), SCRIPT, root], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-4000:]
    return root, json.loads(done.stdout.splitlines()[-1])


CASES = [(model_type, head) for model_type, (_, heads) in HEADS.items() for head in heads]


@pytest.mark.parametrize(("model_type", "head"), CASES)
def test_transformers_4_reads_every_weight_and_its_file_is_read_here(exchanged, model_type, head):
    root, account = exchanged
    name = f"{model_type}-{head}"
    # A Dropout layer without a name or weights is listed under a number that counts the layers of the process.
    missing = [key for key in account[name]["missing_keys"] if not re.fullmatch(r"dropout_\d+", key)]
    assert missing == account[name]["unexpected_keys"] == account[name]["mismatched_keys"] == []
    cls = type(model_of(model_type, head))
    ours = cls.from_pretrained(root / name / "ours")
    theirs, info = cls.from_pretrained(root / name / "theirs", output_loading_info=True)
    # transformers 4 TensorFlow gives every MPNet a pooler; PyTorch and we only where something reads it.
    unexpected = [key for key in info["unexpected_keys"] if not key.startswith("mpnet.pooler.")]
    assert info["missing_keys"] == unexpected == info["mismatched_keys"] == []
    for one, other in zip(ours.slots(), theirs.slots(), strict=True):
        np.testing.assert_array_equal(one.variable.numpy(), other.variable.numpy(), err_msg=one.parameter.file_name)


@pytest.mark.parametrize(("model_type", "head"), CASES)
def test_transformers_4_answers_as_we_do(exchanged, model_type, head):
    root, _ = exchanged
    folder = root / f"{model_type}-{head}"
    model = type(model_of(model_type, head)).from_pretrained(folder / "ours")
    got, expected = model(dict(np.load(folder / "request.npz"))), np.load(folder / "answers.npz")
    for name in expected.files:
        np.testing.assert_allclose(got[name], expected[name], rtol=0, atol=1e-5, err_msg=name)
