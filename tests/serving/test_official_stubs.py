"""tensorflow-serving-api's own stubs, in an environment of their own, get the very answers that ours get.

python -m venv .venv-serving-api && .venv-serving-api/bin/pip install tensorflow-serving-api
FLOWFORMERS_SERVING_API_PYTHON=.venv-serving-api/bin/python pytest -m slow tests/serving/test_official_stubs.py
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import tensorflow as tf

from tests.serving.conftest import Client, serve
from tests.serving.test_examples import Examples

PYTHON = os.environ.get("FLOWFORMERS_SERVING_API_PYTHON", "")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON, reason="FLOWFORMERS_SERVING_API_PYTHON names no Python with tensorflow-serving-api"),
]

# One script for both: only the package that the stubs come from differs. It prints each answer's deterministic bytes.
SCRIPT = r"""
import importlib, json, sys
import grpc
package, port, base = sys.argv[1], sys.argv[2], sys.argv[3]
def stub(name):
    return importlib.import_module(f"{package}.{name}")
def tensor(values):
    import tensorflow as tf
    return tf.make_tensor_proto(values)
channel = grpc.insecure_channel(f"127.0.0.1:{port}")
predictions = stub("prediction_service_pb2_grpc").PredictionServiceStub(channel)
models = stub("model_service_pb2_grpc").ModelServiceStub(channel)
def spec(message, name="m", signature="", version=None):
    message.name, message.signature_name = name, signature
    if version is not None:
        message.version.value = version
def example(**floats):
    from tensorflow.core.example.example_pb2 import Example
    found = Example()
    for name, value in floats.items():
        found.features.feature[name].float_list.value.append(value)
    return found
def predict(*args, output_filter=(), **inputs):
    made = stub("predict_pb2").PredictRequest(output_filter=output_filter)
    spec(made.model_spec, *args)
    for name, value in inputs.items():
        made.inputs[name].CopyFrom(tensor(value))
    return predictions.Predict, made
def classify(*args):
    made = stub("classification_pb2").ClassificationRequest()
    spec(made.model_spec, *args)
    made.input.example_list.examples.extend([example(x=0.25), example(x=0.5)])
    return predictions.Classify, made
def regress(*args):
    made = stub("regression_pb2").RegressionRequest()
    spec(made.model_spec, *args)
    made.input.example_list_with_context.context.CopyFrom(example(x=8.0))
    made.input.example_list_with_context.examples.extend([example(), example(x=0.5)])
    return predictions.Regress, made
def multi(*methods):
    made = stub("inference_pb2").MultiInferenceRequest()
    for signature, method in methods:
        task = made.tasks.add(method_name=f"tensorflow/serving/{method}")
        spec(task.model_spec, "m", signature)
    made.input.example_list.examples.append(example(x=0.25))
    return predictions.MultiInference, made
def metadata(*fields):
    made = stub("get_model_metadata_pb2").GetModelMetadataRequest(metadata_field=fields)
    spec(made.model_spec)
    return predictions.GetModelMetadata, made
def status(*args):
    made = stub("get_model_status_pb2").GetModelStatusRequest()
    spec(made.model_spec, *args)
    return models.GetModelStatus, made
def reload(*names, path=base):
    made = stub("model_management_pb2").ReloadConfigRequest()
    for name in names:
        made.config.model_config_list.config.add(name=name, base_path=path, model_platform="tensorflow")
    return models.HandleReloadConfigRequest, made
CALLS = [
    predict("m", "half", x=[1.0, 2.0]), predict("m", "half", 7, x=[[1.0], [2.0]]), predict("m", "half", 9, x=[1.0]),
    predict("m", "nope", x=[1.0]), predict("", "half", x=[1.0]), predict("m", "half", y=[1.0]), predict("m", "half"),
    predict("m", "classify", output_filter=["scores"], inputs=[example(x=0.5).SerializeToString()]),
    predict("m", "classify", output_filter=["nope"], inputs=[example(x=0.5).SerializeToString()]),
    predict("m", "half", x=["text"]),
    classify("m", "classify"), classify("m", "scores"), classify("m"), classify("nope"),
    regress("m"), regress("m", "classify"),
    multi(("", "regress")), multi(("classify", "classify")), multi(("", "regress"), ("", "regress")),
    multi(("", "predict")), multi(),
    metadata("signature_def"), metadata(), metadata("other"),
    status("m"), status("m", "", 7), status("nope"),
    reload("m", "n"), status("n"), reload("m", "m"), reload("m", path="relative"), reload("m"),
]
for call, made in CALLS:
    try:
        answer = call(made, timeout=60)
        for value in getattr(answer, "metadata", {}).values():
            found = stub("get_model_metadata_pb2").SignatureDefMap.FromString(value.value)
            value.value = found.SerializeToString(deterministic=True)
        print(json.dumps([type(answer).__name__, answer.SerializeToString(deterministic=True).hex(), str(answer)]))
    except grpc.RpcError as error:
        print(json.dumps([error.code().name, error.details()]))
"""


class Half(Examples):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def half(self, x):
        return {"y": x / 2}


def answers(python, package, port, base, **environment):
    command = [python, "-c", SCRIPT, package, str(port), str(base)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | environment)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_every_call_is_answered_alike_through_official_stubs_and_ours(tmp_path):  # protocol 10, 11
    model = Half()
    names = {"serving_default": "regress", "classify": "classify", "scores": "scores", "half": "half"}
    tf.saved_model.save(
        model, str(tmp_path / "7"), signatures={key: getattr(model, name) for key, name in names.items()}
    )
    with serve(tmp_path, model_name="m") as server:
        port = Client(server.rest_port, server.grpc_port).grpc_port
        official = answers(PYTHON, "tensorflow_serving.apis", port, tmp_path, PYTHONPATH="")
        ours = answers(sys.executable, "flowformers.wire", port, tmp_path)
    assert len(official) == 32
    # Text differs where an enum is a number in ours; bytes do not.
    assert [one[:2] for one in official] == [one[:2] for one in ours]
    kinds = {one[0] for one in official}
    assert {"PredictResponse", "ClassificationResponse", "RegressionResponse", "MultiInferenceResponse"} <= kinds
    assert {"GetModelMetadataResponse", "GetModelStatusResponse", "ReloadConfigResponse"} <= kinds
    assert {"INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "UNIMPLEMENTED"} <= kinds
