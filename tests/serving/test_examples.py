"""Classify, Regress and MultiInference on both protocols. "protocol N" is a section of docs/protocol.md."""

from __future__ import annotations

import time

import grpc
import numpy as np
import pytest
import tensorflow as tf

from flowformers.wire import classification_pb2, inference_pb2, input_pb2, regression_pb2
from flowformers.wire.example_pb2 import Example
from tests.serving.conftest import Client, serve

CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"


class Examples(tf.Module):
    """Signatures on serialized tf.Examples with a float x and, for one, a string s."""

    @staticmethod
    def x(inputs):
        return tf.io.parse_example(inputs, {"x": tf.io.FixedLenFeature([], tf.float32)})["x"]

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
    def regress(self, inputs):
        return {"outputs": self.x(inputs)[:, None] / 2}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
    def classify(self, inputs):
        x = self.x(inputs)
        labels = tf.tile([["small", "large"]], [tf.size(x), 1])
        return {"scores": tf.stack([1 - x, x], axis=-1), "classes": labels}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
    def scores(self, inputs):
        return {"scores": self.x(inputs)[:, None]}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
    def doubles(self, inputs):
        return {"scores": tf.cast(self.x(inputs)[:, None], tf.float64)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
    def echo(self, inputs):
        found = tf.io.parse_example(inputs, {"s": tf.io.FixedLenFeature([], tf.string)})["s"]
        return {"classes": found[:, None]}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
    def square(self, inputs):
        return {"outputs": tf.zeros([2, 2])}


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    base, model = tmp_path_factory.mktemp("examples"), Examples()
    names = {
        "serving_default": "regress",
        "classify": "classify",
        "scores": "scores",
        "doubles": "doubles",
        "echo": "echo",
        "square": "square",
    }
    signatures = {name: getattr(model, method) for name, method in names.items()}
    tf.saved_model.save(model, str(base / "7"), signatures=signatures)
    with serve(base, model_name="m") as server:
        yield Client(server.rest_port, server.grpc_port)


def example(**features):
    found = Example()
    for name, value in features.items():
        feature = found.features.feature[name]
        kind = {float: feature.float_list, int: feature.int64_list, bytes: feature.bytes_list}[type(value)]
        kind.value.append(value)
    return found


def examples(*found):
    return input_pb2.Input(example_list=input_pb2.ExampleList(examples=found))


def ask(client, method, request):
    with client.channel() as channel:
        from flowformers.wire import prediction_service_pb2_grpc

        return getattr(prediction_service_pb2_grpc.PredictionServiceStub(channel), method)(request, timeout=30)


def spec(signature="", name="m"):
    return {"name": name, "signature_name": signature}


def refusal(client, method, request):
    with pytest.raises(grpc.RpcError) as caught:
        ask(client, method, request)
    return caught.value.code().name, caught.value.details()


def test_regress_answers_a_value_for_each_example(client):  # protocol 10
    made = regression_pb2.RegressionRequest(model_spec=spec(), input=examples(example(x=3.0), example(x=5.0)))
    answer = ask(client, "Regress", made)
    assert [one.value for one in answer.result.regressions] == [1.5, 2.5]
    assert answer.model_spec.version.value == 7
    assert answer.model_spec.signature_name == "serving_default"


def test_classify_answers_labels_and_scores(client):  # protocol 10
    made = classification_pb2.ClassificationRequest(model_spec=spec("classify"), input=examples(example(x=0.25)))
    (row,) = ask(client, "Classify", made).result.classifications
    assert [(one.label, one.score) for one in row.classes] == [("small", 0.75), ("large", 0.25)]


@pytest.mark.parametrize(
    ("signature", "made", "answer"), [("scores", {"x": 0.5}, ("", 0.5)), ("echo", {"s": b"a"}, ("a", 0))]
)
def test_missing_labels_are_empty_and_missing_scores_zero(client, signature, made, answer):  # protocol 7
    request = classification_pb2.ClassificationRequest(model_spec=spec(signature), input=examples(example(**made)))
    (row,) = ask(client, "Classify", request).result.classifications
    assert [(one.label, one.score) for one in row.classes] == [answer]


def test_an_examples_own_feature_wins_over_the_context(client):  # protocol 7, 10
    both = input_pb2.ExampleListWithContext(examples=[example(x=1.0), Example()], context=example(x=8.0))
    made = regression_pb2.RegressionRequest(model_spec=spec(), input=input_pb2.Input(example_list_with_context=both))
    assert [one.value for one in ask(client, "Regress", made).result.regressions] == [0.5, 4.0]


def test_a_context_is_not_copied_into_gigabytes(client):
    context, none = "x" * 2**20, [Example()] * 257
    both = input_pb2.ExampleListWithContext(examples=none, context=example(s=context.encode()))
    made = regression_pb2.RegressionRequest(model_spec=spec(), input=input_pb2.Input(example_list_with_context=both))
    assert "send fewer examples at a time" in refusal(client, "Regress", made)[1]
    status, answer = client.json("/v1/models/m:regress", {"context": {"s": context}, "examples": [{}] * 257})
    assert (status, "send fewer examples at a time" in answer["error"]) == (400, True)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A client of "m", version 5: two signatures on one input tensor, as TensorFlow 1 wrote them."""
    base, v1 = tmp_path_factory.mktemp("shared"), tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        inputs = v1.placeholder(tf.string, [None])
        x = Examples.x(inputs)
        both = {
            "serving_default": v1.saved_model.regression_signature_def(inputs, x / 2),
            "classify": v1.saved_model.classification_signature_def(inputs, None, x[:, None]),
        }
        builder = v1.saved_model.Builder(str(base / "5"))
        builder.add_meta_graph_and_variables(session, ["serve"], signature_def_map=both)
        builder.save()
    with serve(base, model_name="m", enable_signature_method_name_check=True) as server:
        yield Client(server.rest_port, server.grpc_port)


def test_multi_inference_answers_in_the_order_of_its_tasks(shared):  # protocol 10
    made = multi(("m", "classify", CLASSIFY), ("m", "", REGRESS))
    first, second = ask(shared, "MultiInference", made).results
    assert first.classification_result.classifications[0].classes[0].score == 1
    assert second.regression_result.regressions[0].value == 0.5
    for answer, signature in ((first, "classify"), (second, "serving_default")):
        assert (answer.model_spec.signature_name, answer.model_spec.version.value) == (signature, 5)


def test_signatures_with_inputs_of_their_own_can_not_share_a_run(client):  # protocol 11
    code, details = refusal(client, "MultiInference", multi(("m", "classify", CLASSIFY), ("m", "", REGRESS)))
    assert (code, "same for all Signatures" in details) == ("INVALID_ARGUMENT", True)


def multi(*tasks, given=None):
    made = inference_pb2.MultiInferenceRequest(input=given or examples(example(x=1.0)))
    for name, signature, method in tasks:
        made.tasks.add(model_spec=spec(signature, name), method_name=method)
    return made


def test_twenty_thousand_tasks_are_looked_through_once(client):
    made, begun = multi(*[("m", f"s{number}", REGRESS) for number in range(20_000)]), time.monotonic()
    assert "Requested signature not found" in refusal(client, "MultiInference", made)[1]
    assert time.monotonic() - begun < 2


@pytest.mark.parametrize(
    ("made", "code", "fragment"),
    [
        (multi(), "INVALID_ARGUMENT", "at least one task"),
        (multi(("m", "", REGRESS), ("n", "classify", CLASSIFY)), "INVALID_ARGUMENT", "same model name"),
        (multi(("m", "", REGRESS), ("m", "", REGRESS)), "INVALID_ARGUMENT", "Duplicate evaluation of signature"),
        (multi(("m", "", "tensorflow/serving/predict")), "UNIMPLEMENTED", "Unsupported signature method_name"),
        (multi(("m", "nope", REGRESS)), "INVALID_ARGUMENT", "Requested signature not found"),
        (multi(("nope", "", REGRESS)), "NOT_FOUND", "Servable not found for request: Latest(nope)"),
        (multi(("m", "", REGRESS), given=input_pb2.Input()), "INVALID_ARGUMENT", "Input is empty."),
    ],
)  # fmt: skip
def test_a_mistake_in_multi_inference_has_its_code(client, made, code, fragment):  # protocol 11
    found, details = refusal(client, "MultiInference", made)
    assert (found, fragment in details) == (code, True), details


@pytest.mark.parametrize(
    ("method", "signature", "given", "fragment"),
    [
        ("Regress", "", input_pb2.Input(), "Input is empty."),
        ("Regress", "nope", None, "No signature was found with the name: nope"),
        ("Regress", "classify", None, "expected the outputs outputs"),
        ("Classify", "", None, "expected the outputs classes and/or scores"),
        ("Classify", "doubles", None, "Expected output scores as float32 [1, classes]; got float64 [1, 1]"),
        ("Regress", "square", None, "Expected output outputs as float32 [1] or [1, 1]"),
        ("Regress", "", examples(example(x=1)), ""),
    ],
)
def test_a_mistake_in_classify_or_regress_is_an_invalid_argument(
    client, method, signature, given, fragment
):  # protocol 11
    kind = {"Regress": regression_pb2.RegressionRequest, "Classify": classification_pb2.ClassificationRequest}[method]
    made = kind(model_spec=spec(signature), input=given or examples(example(x=1.0)))
    code, details = refusal(client, method, made)
    assert (code, fragment in details) == ("INVALID_ARGUMENT", True), details


# REST


@pytest.mark.parametrize(
    ("verb", "body", "answer"),
    [
        ("regress", {"examples": [{"x": 3.0}, {"x": [5.0]}]}, [1.5, 2.5]),
        ("regress", {"context": {"x": 8.0}, "examples": [{}, {"x": 1.0}]}, [4.0, 0.5]),
        ("classify", {"signature_name": "classify", "examples": [{"x": 0.25}]}, [[["small", 0.75], ["large", 0.25]]]),
        ("classify", {"signature_name": "echo", "examples": [{"s": "é"}]}, [[["é", 0.0]]]),
        ("classify", {"signature_name": "echo", "examples": [{"s": {"b64": "YQ=="}}]}, [[["a", 0.0]]]),
    ],
)  # fmt: skip
def test_rest_answers_under_results(client, verb, body, answer):  # protocol 7
    assert client.json(f"/v1/models/m:{verb}", body) == (200, {"results": answer})


@pytest.mark.parametrize(
    ("body", "fragment"),
    [
        ({"examples": [{"x": None}]}, "Feature: x has element with unexpected JSON type: Null"),
        ({"examples": [{"x": [[1.0]]}]}, "Feature: x has element with unexpected JSON type: Array"),
        ({"examples": [{"x": {"y": 1.0}}]}, "Feature: x has element with unexpected JSON type: Object"),
        ({"examples": [{"x": [1.0, 1]}]}, "Unexpected element type in feature: x"),
        ({"examples": [{"x": [1, True, "a"]}]}, "Unexpected element type in feature: x"),
        ({"examples": [{"x": 2**63}]}, "Only int64 is supported"),
        ({"examples": [{"x": 2}]}, ""),
        ({"examples": [3]}, "Example must be a JSON object"),
        ({"examples": []}, "empty array"),
        ({"examples": {"x": 1.0}}, "to be an array/list"),
        ({"instances": [1]}, "'examples' is expected"),
        ({"examples": [{"x": 1.0}], "context": 1}, "Example must be a JSON object"),
        ({"examples": [{"x": 1.0}], "signature_name": "nope"}, "No signature was found with the name: nope"),
    ],
)  # fmt: skip
def test_a_mistake_over_rest_is_a_400(client, body, fragment):  # protocol 7, 9
    status, answer = client.json("/v1/models/m:regress", body)
    assert (status, fragment in answer["error"]) == (400, True), answer


def test_method_names_are_checked_only_on_demand(tmp_path):  # protocol 7
    model = Examples()
    tf.saved_model.save(model, str(tmp_path / "1"), signatures={"serving_default": model.regress})
    with serve(tmp_path, model_name="m", enable_signature_method_name_check=True) as server:
        status, answer = Client(server.rest_port, server.grpc_port).json(
            "/v1/models/m:regress", {"examples": [{"x": 1.0}]}
        )
    assert (status, "expected method_name tensorflow/serving/regress" in answer["error"]) == (400, True)


def test_a_predict_of_the_same_signature_takes_serialized_examples(client):  # protocol 10
    from flowformers.wire import predict_pb2

    made = predict_pb2.PredictRequest(model_spec=spec())
    made.inputs["inputs"].CopyFrom(tf.make_tensor_proto([example(x=3.0).SerializeToString()]))
    np.testing.assert_array_equal(tf.make_ndarray(client.predict(made).outputs["outputs"]), [[1.5]])
