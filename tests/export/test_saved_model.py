"""An export is what the article shows, answers as the model does, and never costs an older export."""

from __future__ import annotations

import errno
import shutil
from contextlib import nullcontext
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import flowformers
from flowformers.cli import main
from flowformers.errors import ExportError, InvalidInput, VerificationFailed
from flowformers.export import Graph
from tests.conftest import IDS, MASK, tiny_config

ARTICLE = """\
MetaGraphDef with tag-set: 'serve' contains the following SignatureDefs:

signature_def['serving_default']:
  The given SavedModel SignatureDef contains the following input(s):
    inputs['attention_mask'] tensor_info:
        dtype: DT_INT32
        shape: (-1, -1)
        name: serving_default_attention_mask:0
    inputs['input_ids'] tensor_info:
        dtype: DT_INT32
        shape: (-1, -1)
        name: serving_default_input_ids:0
    inputs['token_type_ids'] tensor_info:
        dtype: DT_INT32
        shape: (-1, -1)
        name: serving_default_token_type_ids:0
  The given SavedModel SignatureDef contains the following output(s):
    outputs['attentions'] tensor_info:
        dtype: DT_FLOAT
        shape: (12, -1, 12, -1, -1)
        name: StatefulPartitionedCall_1:0
    outputs['logits'] tensor_info:
        dtype: DT_FLOAT
        shape: (-1, 2)
        name: StatefulPartitionedCall_1:1
  Method name is: tensorflow/serving/predict
"""


@pytest.fixture
def exported(tmp_path, classifier):
    classifier.save_pretrained(tmp_path, saved_model=True)
    return tmp_path


def load(folder, version=1):
    return tf.saved_model.load(str(folder / "saved_model" / str(version)))


def contents(folder: Path):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_save_pretrained_writes_the_folder_of_the_article(exported):
    assert {path.name for path in exported.iterdir()} == {"config.json", "tf_model.h5", "saved_model"}
    assert {path.name for path in (exported / "saved_model").iterdir()} == {"1"}
    version = {path.name for path in (exported / "saved_model" / "1").iterdir()}
    assert version >= {"saved_model.pb", "variables", "assets"}


def test_inspect_prints_the_text_of_the_article(tmp_path, capsys):
    config = tiny_config(
        num_hidden_layers=12, num_attention_heads=12, hidden_size=24, output_attentions=True, num_labels=2
    )
    flowformers.TFBertForSequenceClassification(config).save_pretrained(tmp_path, saved_model=True)
    capsys.readouterr()
    assert main(["inspect", str(tmp_path), "--signature", "serving_default"]) == 0
    assert capsys.readouterr().out == ARTICLE


@pytest.mark.parametrize(("name", "dtype"), [("serving_default", tf.int32), ("int64_serving", tf.int64)])
def test_both_integer_widths_answer_as_the_model_at_any_batch_and_length(exported, classifier, batch, name, dtype):
    signature = load(exported).signatures[name]
    for rows, length in [(3, 6), (1, 6), (2, 3), (1, 1)]:
        inputs = {key: value[:rows, :length] for key, value in batch.items()}
        served = signature(**{key: tf.constant(value, dtype) for key, value in inputs.items()})
        np.testing.assert_allclose(served["logits"], classifier(inputs).logits, atol=1e-6)


def test_states_and_attentions_are_grouped_in_one_output_each(tmp_path, batch):
    model = flowformers.TFBertModel(tiny_config(output_hidden_states=True, output_attentions=True))
    model.save_pretrained(tmp_path, saved_model=True)
    served = load(tmp_path).signatures["serving_default"](**{k: tf.constant(v, tf.int32) for k, v in batch.items()})
    called = model(batch)
    np.testing.assert_allclose(served["hidden_states"], np.stack(called.hidden_states), atol=1e-6)
    np.testing.assert_allclose(served["attentions"], np.stack(called.attentions), atol=1e-6)
    assert set(served) == {"last_hidden_state", "pooler_output", "hidden_states", "attentions"}


@pytest.mark.parametrize(
    ("head", "outputs"),
    [
        ("Model", {"last_hidden_state", "pooler_output"}),
        ("ForPreTraining", {"prediction_logits", "seq_relationship_logits"}),
        ("ForMaskedLM", {"logits"}),
        ("ForMultipleChoice", {"logits"}),
        ("ForTokenClassification", {"logits"}),
        ("ForQuestionAnswering", {"start_logits", "end_logits"}),
    ],
)
def test_every_head_exports_its_own_outputs(tmp_path, head, outputs):
    getattr(flowformers, f"TFBert{head}")(tiny_config()).save_pretrained(tmp_path, saved_model=True)
    signature = load(tmp_path).signatures["serving_default"]
    assert set(signature.structured_outputs) == outputs
    shape = [None] * (3 if head == "ForMultipleChoice" else 2)
    assert all(spec.shape.as_list() == shape for spec in signature.structured_input_signature[1].values())


# A user's own signature


class Embedded(flowformers.TFBertForSequenceClassification):
    @tf.function(
        input_signature=[
            {
                "inputs_embeds": tf.TensorSpec((None, None, 16), tf.float32, name="inputs_embeds"),
                "attention_mask": tf.TensorSpec((None, None), tf.int32, name="attention_mask"),
                "token_type_ids": tf.TensorSpec((None, None), tf.int32, name="token_type_ids"),
            }
        ]
    )
    def serving(self, inputs):
        output = self.call(inputs)
        return self.serving_output(output)


def test_a_subclass_exports_its_own_decorated_serving(tmp_path, batch):
    model = Embedded(tiny_config())
    model.save_pretrained(tmp_path, saved_model=True)
    loaded = load(tmp_path)
    assert set(loaded.signatures) == {"serving_default"}
    embedded = tf.gather(model.bert.embeddings.word_embeddings.embeddings.value, IDS)
    served = loaded.signatures["serving_default"](
        inputs_embeds=embedded,
        attention_mask=tf.constant(MASK, tf.int32),
        token_type_ids=tf.zeros(IDS.shape, tf.int32),
    )
    np.testing.assert_allclose(served["logits"], model(batch).logits, atol=1e-6)


def test_a_checkpoint_of_a_subclass_is_one_of_its_parent(tmp_path):
    Embedded(tiny_config()).save_pretrained(tmp_path)
    assert type(flowformers.TFAutoModelForSequenceClassification.from_pretrained(tmp_path)).__name__ == (
        "TFBertForSequenceClassification"
    )


def test_signatures_given_by_hand_are_what_is_exported(tmp_path, classifier, batch):
    @tf.function(input_signature=[tf.TensorSpec((None, None), tf.int32, name="ids")])
    def probabilities(ids):
        return {"probabilities": tf.nn.softmax(classifier(ids).logits)}

    classifier.save_pretrained(tmp_path, saved_model=True, signatures={"mine": probabilities})
    signatures = load(tmp_path).signatures
    assert set(signatures) == {"mine"}
    served = signatures["mine"](ids=tf.constant(IDS, tf.int32))["probabilities"]
    np.testing.assert_allclose(served, tf.nn.softmax(classifier(IDS).logits), atol=1e-6)


def own_function(model):
    def logits(ids):
        return {"logits": model(ids).logits}

    return tf.function(logits, input_signature=[tf.TensorSpec((None, None), tf.int32, name="ids")])


def served_logits(folder, version, **inputs):
    loaded = load(folder, version).signatures["serving_default"]
    return loaded(**inputs)["logits"].numpy()


def trained(model):
    for weight in model.weights:
        weight.assign(weight + 0.1)


@pytest.mark.parametrize(
    ("weights", "called", "nested"),
    [
        pytest.param("variables", False, False, id="variables"),
        pytest.param("constants", True, False, id="constants, called before"),
        pytest.param("constants", False, True, id="constants, within another"),
    ],
)
def test_a_function_of_ones_own_can_be_exported_again_after_training(tmp_path, weights, called, nested):
    classifier = flowformers.TFBertForSequenceClassification(tiny_config(num_hidden_layers=1))
    function, ids = own_function(classifier), tf.constant(IDS, tf.int32)
    if called:
        function(ids)
    signature = tf.function(lambda ids: function(ids), function.input_signature) if nested else function
    options = {"saved_model": True, "graph": Graph(weights=weights), "signatures": signature}
    classifier.save_pretrained(tmp_path, version=1, **options)
    before = classifier(ids).logits.numpy()
    trained(classifier)
    after = classifier(ids).logits.numpy()
    np.testing.assert_allclose(function(ids)["logits"], after, atol=1e-5)
    classifier.save_pretrained(tmp_path, version=2, **options)
    np.testing.assert_allclose(served_logits(tmp_path, 1, ids=ids), before, atol=1e-5)
    np.testing.assert_allclose(served_logits(tmp_path, 2, ids=ids), after, atol=1e-5)
    np.testing.assert_allclose(signature(ids)["logits"], after, atol=1e-5)


def test_a_serving_of_ones_own_can_be_exported_again_after_training(tmp_path, batch):
    model = Embedded(tiny_config(num_hidden_layers=1))
    model.save_pretrained(tmp_path, saved_model=True)
    trained(model)
    model.save_pretrained(tmp_path, saved_model=True, version=2)
    inputs = {
        "inputs_embeds": tf.gather(model.bert.embeddings.word_embeddings.embeddings.value, IDS),
        "attention_mask": tf.constant(MASK, tf.int32),
        "token_type_ids": tf.zeros(IDS.shape, tf.int32),
    }
    expected = model(batch).logits
    np.testing.assert_allclose(served_logits(tmp_path, 2, **inputs), expected, atol=1e-5)
    np.testing.assert_allclose(model.serving(inputs)["logits"], expected, atol=1e-5)


def test_a_function_without_input_signature_is_refused(tmp_path, classifier):
    with pytest.raises(InvalidInput, match="input_signature"):
        classifier.save_pretrained(tmp_path, saved_model=True, signatures={"mine": tf.function(lambda x: x)})


def test_a_model_of_mixed_precision_is_exported_in_float32(tmp_path, batch):
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        model = flowformers.TFBertForSequenceClassification(tiny_config(num_hidden_layers=1))
        model.save_pretrained(tmp_path, saved_model=True)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    exact = flowformers.TFBertForSequenceClassification.from_pretrained(tmp_path)
    inputs = {name: tf.constant(value, tf.int32) for name, value in batch.items()}
    np.testing.assert_allclose(served_logits(tmp_path, 1, **inputs), exact(batch).logits, atol=1e-6)


# What goes wrong while writing


def test_a_slip_in_an_option_is_told_before_anything_is_written(tmp_path, classifier):
    with pytest.raises(TypeError, match=r"'default_signatures'; expected .*default_signature"):
        classifier.save_pretrained(tmp_path / "out", saved_model=True, default_signatures="text")
    assert not (tmp_path / "out").exists()


def test_versions_stand_beside_each_other(exported, classifier):
    before = contents(exported / "saved_model" / "1")
    classifier.save_pretrained(exported, saved_model=True, version=2)
    assert contents(exported / "saved_model" / "1") == before
    assert "serving_default" in load(exported, 2).signatures


def test_an_export_is_replaced_whole(exported, batch):
    other = flowformers.TFBertForSequenceClassification(tiny_config(num_labels=5))
    other.save_pretrained(exported, saved_model=True)
    served = load(exported).signatures["serving_default"](**{k: tf.constant(v, tf.int32) for k, v in batch.items()})
    np.testing.assert_allclose(served["logits"], other(batch).logits, atol=1e-6)
    assert {path.name for path in (exported / "saved_model").iterdir()} == {"1"}


def test_no_space_left_costs_nothing_that_stood_there(exported, classifier, monkeypatch):
    before = contents(exported)

    def full(*_, **__):
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    monkeypatch.setattr(tf.saved_model, "save", full)
    with pytest.raises(ExportError, match=r"No space left on device.*What stood there before is unchanged"):
        classifier.save_pretrained(exported, saved_model=True)
    assert contents(exported / "saved_model") == {
        path.relative_to("saved_model"): content for path, content in before.items() if path.parts[0] == "saved_model"
    }


@pytest.mark.parametrize("safe", [False, True])
def test_a_full_disk_leaves_the_old_weights(tmp_path, classifier, monkeypatch, safe):
    classifier.save_pretrained(tmp_path, safe_serialization=safe)
    before = contents(tmp_path)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("safetensors.numpy.save_file" if safe else "h5py.Group.create_dataset", full)
    with pytest.raises(ExportError, match="No space left on device"):
        classifier.save_pretrained(tmp_path, safe_serialization=safe)
    assert contents(tmp_path) == before


def test_an_export_that_answers_differently_replaces_nothing_and_is_kept(exported, classifier, monkeypatch):
    before = contents(exported / "saved_model" / "1")
    save = tf.saved_model.save

    def damaged(module, folder, **options):
        weight = classifier.head.classifier.kernel
        weight.assign(weight + 1)
        save(module, folder, **options)
        weight.assign(weight - 1)

    monkeypatch.setattr(tf.saved_model, "save", damaged)
    with pytest.raises(VerificationFailed, match=r"serving_default/logits differs by .* kept for inspection") as error:
        classifier.save_pretrained(exported, saved_model=True)
    assert contents(exported / "saved_model" / "1") == before
    kept = next(Path(word) for word in str(error.value).split() if word.startswith("/"))
    assert (kept / "saved_model.pb").is_file()
    shutil.rmtree(kept)


@pytest.mark.parametrize(
    "marked", [tf.math.log, lambda zero: zero / zero, lambda zero: tf.where(zero > 0, 1.0, tf.float32.min)]
)
def test_infinity_nan_and_the_lowest_number_are_compared_too(tmp_path, classifier, monkeypatch, marked):
    bias = classifier.head.classifier.bias
    save = tf.saved_model.save

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def mine(x):
        return {"marked": x[:, None] * 0.0 + marked(bias.value)}

    def damaged(module, folder, **options):
        bias.assign(bias + 1)
        save(module, folder, **options)
        bias.assign(bias - 1)

    classifier.save_pretrained(tmp_path, saved_model=True, signatures={"mine": mine})
    monkeypatch.setattr(tf.saved_model, "save", damaged)
    with pytest.raises(VerificationFailed, match=r"mine/marked has .* where the model gives (-inf|nan|-3\.4)"):
        classifier.save_pretrained(tmp_path, saved_model=True, signatures={"mine": mine})


def test_nan_in_the_answers_is_told_by_output_and_a_mask_is_not(tmp_path, classifier, caplog):
    bias = classifier.head.classifier.bias

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def mine(x):
        low, never = tf.math.log(bias.value[0]), tf.math.log(bias.value[0] - 1.0)
        return {"masked": x * 0.0 + low, "broken": x * 0.0 + never, "lowest": x * 0.0 + tf.float32.min}

    classifier.save_pretrained(tmp_path, saved_model=True, signatures={"mine": mine})
    (text,) = caplog.messages
    assert "NaN in the model's answers" in text
    assert "mine/broken." in text
    assert "masked" not in text


def test_a_place_that_cannot_be_written_is_told(tmp_path, classifier):
    (tmp_path / "saved_model").write_text("in the way")
    with pytest.raises(ExportError, match="can't write to"):
        classifier.save_pretrained(tmp_path, saved_model=True)


def test_ids_outside_the_vocabulary_and_rows_too_long_are_errors_in_the_graph(exported, batch):
    signature = load(exported).signatures["serving_default"]

    def serve(ids):
        ones = tf.ones_like(ids)
        return signature(input_ids=ids, attention_mask=ones, token_type_ids=0 * ones)

    for wrong in (40, -1):
        with pytest.raises(tf.errors.InvalidArgumentError):
            serve(tf.constant([[1, wrong]]))
    with pytest.raises(tf.errors.InvalidArgumentError, match="12"):
        serve(tf.ones([1, 13], tf.int32))


def test_a_keras_file_keeps_the_model(tmp_path, classifier, batch):
    classifier.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(batch).logits, classifier(batch).logits)


class Reloaded:
    """A SavedModel of which one signature answers otherwise, as traced or with what TensorFlow makes of it."""

    def __init__(self, loaded, damaged, *, optimised):
        def wrapped(name, function):
            def run(**inputs):
                as_traced = tf.config.optimizer.get_experimental_options().get("disable_meta_optimizer", False)
                off = float(name == damaged and as_traced != optimised)
                return {output: value + off for output, value in function(**inputs).items()}

            return run

        self.signatures = {name: wrapped(name, function) for name, function in loaded.signatures.items()}


@pytest.mark.parametrize(
    ("precision", "damaged", "optimised", "found"),
    [
        ("fp32", "int64_serving", False, True),
        ("fp32", "serving_default", True, True),
        ("bf16", "serving_default", False, True),
        ("bf16", "serving_default", True, False),  # where rounding shows
    ],
)
def test_every_signature_is_compared_as_traced_and_the_first_as_optimised(
    tmp_path, monkeypatch, precision, damaged, optimised, found
):
    reload = tf.saved_model.load
    monkeypatch.setattr(tf.saved_model, "load", lambda *a: Reloaded(reload(*a), damaged, optimised=optimised))
    model = flowformers.TFBertForSequenceClassification(tiny_config(num_hidden_layers=1))
    model.precision = precision
    expected = pytest.raises(VerificationFailed, match=f"{damaged}/logits differs") if found else nullcontext()
    with expected:
        model.save_pretrained(tmp_path, saved_model=True)
