"""A real BERT, all-MiniLM-L6-v2: PyTorch's answers on its true vocabulary, frozen and live."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import flowformers
from tests.parity.real import real_request

GOLDEN = Path(__file__).parent / "golden" / "real" / "minilm.npz"
TOLERANCE = 2e-5


@pytest.fixture(scope="module")
def golden():
    return np.load(GOLDEN)


def answers(folder, batch, *, states):
    model = flowformers.TFBertModel.from_pretrained(folder, from_pt=True)
    output = model(batch, output_hidden_states=states, output_attentions=states)
    real = batch["attention_mask"].astype(bool)
    found = {"last_hidden_state": output.last_hidden_state.numpy()[real], "pooler_output": output.pooler_output.numpy()}
    if states:
        found["hidden_states"] = np.stack([state.numpy()[real] for state in output.hidden_states])
        found["attentions"] = np.stack([weights.numpy()[:, :, 0] for weights in output.attentions])
    return found


def largest_difference(got, expected):
    assert set(got) == set(expected)
    return max(float(np.max(np.abs(got[name] - expected[name]))) for name in got)


def test_the_tokenizer_gives_the_ids_that_pytorch_was_asked_with(minilm, golden):
    batch = real_request(flowformers.AutoTokenizer.from_pretrained(minilm))
    for name in ("input_ids", "attention_mask", "token_type_ids"):
        np.testing.assert_array_equal(batch[name], golden[name])


def test_real_weights_give_pytorchs_frozen_answers(minilm, golden):
    batch = {name: golden[name] for name in ("input_ids", "attention_mask", "token_type_ids")}
    expected = {name: golden[name] for name in golden.files if name not in batch}
    assert largest_difference(answers(minilm, batch, states=False), expected) <= TOLERANCE


@pytest.mark.torch
@pytest.mark.parametrize("states", [False, True])
def test_real_weights_give_pytorchs_answers_today(minilm, states):
    from tests.parity.reference import real_answers

    batch = real_request(flowformers.AutoTokenizer.from_pretrained(minilm))
    expected = real_answers(minilm, batch, states=states)
    assert largest_difference(answers(minilm, batch, states=states), expected) <= TOLERANCE
