"""Vocabularies that grow and shrink, and inputs of the signature that are chosen."""

from __future__ import annotations

import numpy as np
import pytest

import flowformers
from flowformers.errors import InvalidInput
from tests.conftest import IDS, tiny_config


@pytest.mark.parametrize("size", [30, 45])
def test_old_words_keep_their_scores_and_new_ones_are_drawn(tmp_path, size):
    model = flowformers.TFBertForMaskedLM(tiny_config())
    model.head.bias.bias.assign(np.arange(40.0))
    before = model(IDS).logits.numpy()
    kept = min(size, 40)
    count = len(model.weights)
    table = model.resize_token_embeddings(size)
    assert (table.rows, model.config.vocab_size, len(model.weights)) == (size, size, count)
    np.testing.assert_allclose(model(IDS).logits.numpy()[..., :kept], before[..., :kept], atol=1e-6)
    assert np.all(np.std(table.embeddings.numpy(), axis=1) > 0)
    model.save_pretrained(tmp_path, saved_model=True)
    again = flowformers.TFBertForMaskedLM.from_pretrained(tmp_path)
    np.testing.assert_allclose(again(IDS).logits, model(IDS).logits, atol=1e-6)


def test_a_resized_model_trains():
    model = flowformers.TFBertForSequenceClassification(tiny_config())
    model.resize_token_embeddings(50)
    model.compile(optimizer="adam")
    before = model.get_input_embeddings().embeddings.numpy()
    model.fit({"input_ids": np.full((4, 3), 49)}, np.array([0, 1, 0, 1]), verbose=0)
    changed = np.any(model.get_input_embeddings().embeddings.numpy() != before, axis=1)
    assert changed.tolist() == [False] * 49 + [True]


def test_no_size_just_gives_the_table(classifier):
    assert classifier.resize_token_embeddings() is classifier.get_input_embeddings()
    with pytest.raises(InvalidInput, match="at least one"):
        classifier.resize_token_embeddings(0)


def roberta():
    fields = tiny_config().to_dict()
    return flowformers.TFRobertaForSequenceClassification(
        flowformers.RobertaConfig(**fields | {"model_type": "roberta"})
    )


def test_roberta_serves_two_inputs_and_a_third_where_it_is_asked_to():
    model = roberta()
    assert tuple(model.input_signature) == ("input_ids", "attention_mask")
    model.serving_inputs = ("input_ids", "attention_mask", "token_type_ids")
    assert tuple(model.input_signature) == ("input_ids", "attention_mask", "token_type_ids")


def test_inputs_that_call_does_not_take_are_refused():
    model = roberta()
    model.serving_inputs = ("input_ids", "speaker_ids")
    with pytest.raises(InvalidInput, match="speaker_ids"):
        _ = model.input_signature
