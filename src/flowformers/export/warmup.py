"""assets.extra/tf_serving_warmup_requests: what TensorFlow Serving runs before it calls a version available."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from flowformers.export.functions import CLASSIFY, REGRESS
from flowformers.export.samples import Samples
from flowformers.wire import classification_pb2, input_pb2, model_pb2, predict_pb2, prediction_log_pb2, regression_pb2

PLACE = Path("assets.extra/tf_serving_warmup_requests")


def write_warmup(folder: Path, samples: Samples, methods: Mapping[str, str]) -> None:
    """A TFRecord with one request for each signature, of the kind that its method takes."""
    path = folder / PLACE
    path.parent.mkdir()
    with tf.io.TFRecordWriter(str(path)) as writer:
        for name, inputs in samples.items():
            writer.write(_log(name, inputs, methods[name]).SerializeToString())


def _log(name: str, inputs: Mapping[str, Any], method: str) -> Any:
    spec = model_pb2.ModelSpec(name="default", signature_name=name)
    Log = prediction_log_pb2.PredictionLog
    if method == CLASSIFY:
        classification = classification_pb2.ClassificationRequest(model_spec=spec, input=_examples(inputs))
        return Log(classify_log=prediction_log_pb2.ClassifyLog(request=classification))
    if method == REGRESS:
        regression = regression_pb2.RegressionRequest(model_spec=spec, input=_examples(inputs))
        return Log(regress_log=prediction_log_pb2.RegressLog(request=regression))
    tensors = {key: tf.make_tensor_proto(value) for key, value in inputs.items()}
    request = predict_pb2.PredictRequest(model_spec=spec, inputs=tensors)
    return Log(predict_log=prediction_log_pb2.PredictLog(request=request))


def _examples(inputs: Mapping[str, Any]) -> Any:
    examples = [tf.train.Example.FromString(content) for content in inputs["inputs"].numpy()]
    return input_pb2.Input(example_list=input_pb2.ExampleList(examples=examples))
