"""The encoder under model.bert is a layer of its own, as code written for transformers 4 expects."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import flowformers
from flowformers.errors import InvalidInput
from tests.conftest import IDS, MASK, tiny_config

HEADS = {"Bert": "bert", "Roberta": "roberta", "Electra": "electra", "MPNet": "mpnet", "DistilBert": "distilbert"}


def test_the_encoder_of_a_classifier_is_called_like_the_base_model(classifier, tmp_path):
    classifier.save_pretrained(tmp_path)
    base = flowformers.TFBertModel.from_pretrained(tmp_path)
    for got in (classifier.bert(IDS, MASK), classifier.bert({"input_ids": IDS, "attention_mask": MASK})):
        np.testing.assert_array_equal(got.last_hidden_state, base(IDS, MASK).last_hidden_state)
        np.testing.assert_array_equal(got[1], base(IDS, MASK).pooler_output)
    assert len(classifier.bert(IDS, output_hidden_states=True).hidden_states) == 3


def test_a_subclass_builds_on_the_encoder():
    class FirstToken(flowformers.TFBertForSequenceClassification):
        """The classifier without the pooler's dense layer."""

        def call(self, inputs, training=False):
            return {"logits": self.head.classifier.apply(self.bert(inputs, training=training)[0][:, 0])}

    model = FirstToken(tiny_config())
    expected = model({"input_ids": IDS, "attention_mask": MASK})["logits"]
    assert expected.shape == (3, 2)
    assert not np.array_equal(expected, flowformers.TFBertForSequenceClassification.call(model, IDS, MASK).logits)


def test_layers_are_frozen_by_the_names_that_transformers_gave_them():
    for stem, prefix in HEADS.items():
        model = getattr(flowformers, f"TF{stem}Model")(_tiny(stem))
        layers = getattr(getattr(model, prefix), "transformer" if stem == "DistilBert" else "encoder").layer
        before = len(model.trainable_weights)
        layers[0].trainable = False
        assert len(model.trainable_weights) == before - 16, stem


def _tiny(stem):
    names = {"DistilBert": ("dim", "n_heads", "n_layers", "hidden_dim")}.get(
        stem, ("hidden_size", "num_attention_heads", "num_hidden_layers", "intermediate_size")
    )
    return getattr(flowformers, f"{stem}Config")(vocab_size=40, **dict(zip(names, (8, 2, 2, 16), strict=True)))


def test_a_keras_model_can_hold_a_main_layer(tmp_path):
    ids, mask = keras.Input((6,), dtype="int32"), keras.Input((6,), dtype="int32")
    layer = flowformers.TFBertMainLayer(tiny_config(), add_pooling_layer=False)
    states = layer(ids, attention_mask=mask).last_hidden_state
    model = keras.Model([ids, mask], keras.layers.Dense(2)(keras.layers.GlobalAveragePooling1D()(states)))
    model.save(tmp_path / "own.keras")
    again = keras.saving.load_model(tmp_path / "own.keras")
    np.testing.assert_array_equal(again([IDS, MASK]), model([IDS, MASK]))


def test_a_model_without_a_pooler_comes_back_from_keras_files(tmp_path):
    model = flowformers.TFBertModel(tiny_config(), False)
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    assert "pooler_output" not in again(IDS)
    np.testing.assert_array_equal(again(IDS).last_hidden_state, model(IDS).last_hidden_state)


def test_models_share_a_base_class_by_family(classifier):
    assert isinstance(classifier, flowformers.TFBertPreTrainedModel)
    assert not isinstance(classifier, flowformers.TFRobertaPreTrainedModel)
    with pytest.raises(InvalidInput, match="TFBertMainLayer"):
        flowformers.TFBertPreTrainedModel(tiny_config())
