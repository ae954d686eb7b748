"""Models are called as transformers 4 called them."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import flowformers
from flowformers.errors import ConfigError, InvalidInput
from tests.conftest import IDS, MASK, tiny_config

# Rows alone and in a batch multiply matrices of other heights, which sum in another order.
TOLERANCE = 1e-5


def logits(model, *args, **kwargs):
    return np.asarray(model(*args, **kwargs)["logits"])


def test_dict_list_positional_and_keyword_mean_the_same(classifier, batch):
    expected = logits(classifier, batch)
    types = batch["token_type_ids"]
    for got in (
        logits(classifier, IDS, MASK, types),
        logits(classifier, [IDS, MASK, types]),
        logits(classifier, input_ids=IDS, attention_mask=MASK, token_type_ids=types),
        logits(classifier, tf.constant(IDS), attention_mask=tf.constant(MASK, tf.int64)),
        logits(classifier, {name: value.tolist() for name, value in batch.items()}),
    ):
        np.testing.assert_array_equal(got, expected)


def test_results_are_object_dict_and_tuple(classifier, batch):
    output = classifier(batch, output_hidden_states=True)
    assert list(output) == ["logits", "hidden_states"]
    assert output[0] is output.logits is output["logits"]
    assert output.attentions is None
    assert len(output.hidden_states) == 3
    plain = classifier(batch, return_dict=False)
    assert isinstance(plain, tuple)
    assert len(plain) == 1


def test_config_switches_what_is_returned(batch):
    model = flowformers.TFBertModel(tiny_config(output_attentions=True))
    assert [weights.shape for weights in model(batch).attentions] == [(3, 2, 6, 6)] * 2
    assert "attentions" not in model(batch, output_attentions=False)


def test_labels_give_a_loss_for_each_sequence(classifier, batch):
    output = classifier(batch, labels=np.array([0, 1, 1]))
    probabilities = tf.nn.log_softmax(output.logits).numpy()
    np.testing.assert_allclose(output.loss, -probabilities[[0, 1, 2], [0, 1, 1]], atol=1e-6)


def test_several_labels_and_regression_have_their_losses(batch):
    several = flowformers.TFBertForSequenceClassification(tiny_config(num_labels=3))
    targets = np.array([[1.0, 0, 1], [0, 0, 0], [1, 1, 1]])
    output = several(batch, labels=targets)
    chance = tf.sigmoid(output.logits).numpy()
    expected = -(targets * np.log(chance) + (1 - targets) * np.log(1 - chance)).mean(-1)
    np.testing.assert_allclose(output.loss, expected, atol=1e-6)
    one = flowformers.TFBertForSequenceClassification(tiny_config(num_labels=1))
    output = one(batch, labels=np.array([0.5, -1.0, 2.0]))
    np.testing.assert_allclose(output.loss, (output.logits.numpy()[:, 0] - [0.5, -1, 2]) ** 2, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_padded_equals_alone(data):
    """A row of a mixed batch is the row run by itself, whatever the lengths and the side of the padding."""
    model = test_padded_equals_alone.model
    lengths = data.draw(st.lists(st.integers(1, 12), min_size=1, max_size=5))
    left = data.draw(st.booleans())
    random = np.random.default_rng(data.draw(st.integers(0, 2**16)))
    width = max(lengths)
    ids, mask = np.zeros((len(lengths), width), int), np.zeros((len(lengths), width), int)
    for row, length in enumerate(lengths):
        place = slice(width - length, width) if left else slice(0, length)
        ids[row, place], mask[row, place] = random.integers(1, 40, length), 1
    positions = np.maximum(mask.cumsum(1) - 1, 0)
    together = model(ids, mask, position_ids=positions).last_hidden_state.numpy()
    for row in range(len(lengths)):
        real = mask[row] == 1
        alone = model(ids[row : row + 1, real]).last_hidden_state.numpy()
        np.testing.assert_allclose(together[row, real], alone[0], atol=TOLERANCE, rtol=0)


test_padded_equals_alone.model = flowformers.TFBertModel(tiny_config())


def test_without_padding_equals_dense(batch):
    model = flowformers.TFBertModel(tiny_config())
    packed, dense = model(batch), model(batch, output_hidden_states=True)
    difference = np.abs(packed.last_hidden_state - dense.last_hidden_state)[MASK == 1]
    assert difference.max() <= TOLERANCE
    np.testing.assert_allclose(packed.pooler_output, dense.pooler_output, atol=TOLERANCE)


def test_question_answering_never_points_at_padding(batch):
    output = flowformers.TFBertForQuestionAnswering(tiny_config())(batch)
    assert np.all(output.start_logits.numpy()[MASK == 0] == np.finfo(np.float32).min)


def test_graph_mode_takes_free_batch_and_length(classifier, batch):
    run = tf.function(lambda **inputs: classifier(inputs).logits)
    specs = {name: tf.TensorSpec([None, None], tf.int32, name=name) for name in batch}
    concrete = run.get_concrete_function(**specs)
    for rows, columns in ((3, 6), (1, 4)):
        inputs = {name: tf.constant(value[:rows, :columns], tf.int32) for name, value in batch.items()}
        np.testing.assert_allclose(concrete(**inputs), logits(classifier, inputs), atol=TOLERANCE)


def test_inside_a_functional_keras_model():
    import keras

    ids = keras.Input((None,), dtype="int32")
    pooled = flowformers.TFBertModel(tiny_config())(ids).pooler_output
    model = keras.Model(ids, keras.layers.Dense(3)(pooled))
    assert model(IDS).shape == (3, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "either input_ids or inputs_embeds; got neither"),
        ({"input_ids": IDS, "inputs_embeds": np.zeros((3, 6, 16), np.float32)}, "got input_ids and inputs_embeds"),
        ({"input_ids": IDS[0]}, r"shape \[batch, sequence\]; got shape \(6,\)"),
        ({"input_ids": IDS, "attention_mask": MASK[:, :3]}, "attention_mask of the shape of input_ids"),
        ({"input_ids": IDS.astype(np.float32)}, "integer ids"),
        ({"input_ids": [["a", "b"]]}, "tokenizer"),
        ({"input_ids": np.zeros((1, 13), int)}, "limit of 12 tokens"),
        ({"input_idz": IDS}, "got input_idz"),
    ],
)
def test_bad_input_is_named(classifier, arguments, message):
    with pytest.raises(InvalidInput, match=message):
        classifier(**arguments)


def test_an_unknown_key_of_a_dict_is_a_type_error(classifier):
    with pytest.raises(TypeError, match="got pixels"):
        classifier({"input_ids": IDS, "pixels": IDS})


@pytest.mark.parametrize(
    ("ids", "others", "message"),
    [
        ([[2, 40, 3]], {}, "input_ids from 0 to 39.*got 2 to 40.*tokenizer"),
        ([[2, -1, 3]], {}, "input_ids from 0 to 39.*got -1 to 3"),
        ([[2, 4, 3]], {"token_type_ids": [[0, 0, 2]]}, "token_type_ids from 0 to 1"),
        ([[2, 4, 3]], {"position_ids": [[0, 1, 12]]}, "position_ids from 0 to 11"),
        (None, {"inputs_embeds": np.ones((1, 3, 1), np.float32)}, "inputs_embeds of width 16.*got 1"),
    ],
)
def test_what_no_table_holds_is_named(classifier, ids, others, message):
    with pytest.raises(InvalidInput, match=message):
        classifier(ids, **others)


def test_what_encoders_do_not_do_is_refused(classifier):
    with pytest.raises(NotImplementedError, match="head_mask"):
        classifier(IDS, head_mask=np.ones(2))
    with pytest.raises(InvalidInput, match="cross-attention"):
        flowformers.TFBertModel(tiny_config(add_cross_attention=True))


def sizes():
    return {name: size for name, size in tiny_config().to_dict().items() if name != "model_type"}


@pytest.mark.parametrize("family", ["DistilBert", "MPNet"])
def test_families_without_a_decoder_see_what_follows_whatever_is_decoder_says(family):
    config = getattr(flowformers, f"{family}Config")(**sizes() | {"is_decoder": True, "initializer_range": 0.5})
    model = getattr(flowformers, f"TF{family}Model")(config)
    first, other = (model(np.array([[2, 5, last]])).last_hidden_state[0, 0] for last in (3, 4))
    assert np.abs(first - other).max() > 1e-3


def test_positions_behind_the_padding_need_its_id():
    with pytest.raises(ConfigError, match="pad_token_id"):
        flowformers.TFRobertaModel(flowformers.RobertaConfig(**sizes() | {"pad_token_id": None}))
