"""One small model on both ports, and the two ways to ask it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf

import flowformers
from flowformers.serving import Settings, running
from flowformers.wire import get_model_metadata_pb2, model_service_pb2_grpc, prediction_service_pb2_grpc
from tests.conftest import tiny_config


class Arithmetic(tf.Module):
    """Signatures whose answers a reader can work out."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def half(self, x):
        return {"y": x / 2}

    @tf.function(
        input_signature=[tf.TensorSpec([None, 2], tf.int32, name="a"), tf.TensorSpec([None], tf.string, name="b")]
    )
    def pair(self, a, b):
        return {"sum": tf.reduce_sum(a, -1), "b_bytes": b, "scalar": tf.constant(7)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float64, name="x")])
    def slow(self, x):
        return {"y": tf.while_loop(lambda i, _: i < 10**9, lambda i, y: (i + 1, y + 1), (0, x))[1]}

    def save(self, folder, **signatures):
        wanted = signatures or {"serving_default": self.half, "pair": self.pair, "slow": self.slow}
        tf.saved_model.save(self, str(folder), signatures=wanted)


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any
    headers: Any


@dataclass(frozen=True)
class Client:
    """Both ports of a running server."""

    rest_port: int
    grpc_port: int

    def http(self, path, body=None, headers=(), method=None) -> Answer:
        """GET without a body, POST with one (bytes, or anything JSON)."""
        data = json.dumps(body).encode() if body is not None and not isinstance(body, bytes) else body
        request = urllib.request.Request(f"http://127.0.0.1:{self.rest_port}{path}", data, dict(headers), method=method)
        try:
            with urllib.request.urlopen(request) as response:
                return Answer(response.status, response.read(), response.headers)
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.read(), error.headers)

    def json(self, *args, **kwargs):
        answer = self.http(*args, **kwargs)
        return answer.status, json.loads(answer.body)

    def channel(self):
        return grpc.insecure_channel(f"127.0.0.1:{self.grpc_port}")

    def predict(self, request, timeout=30):
        with self.channel() as channel:
            return prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout=timeout)

    def metadata(self, name, *fields):
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
        request.model_spec.name = name
        with self.channel() as channel:
            return prediction_service_pb2_grpc.PredictionServiceStub(channel).GetModelMetadata(request, timeout=30)

    def model_status(self, request):
        with self.channel() as channel:
            return model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(request, timeout=30)


def serve(base, **options):
    return running(Settings(model_base_path=base, **{"port": -1, "rest_api_port": -1} | options))


@pytest.fixture(scope="session")
def arithmetic(tmp_path_factory):
    """A client of Arithmetic, named "math", version 3."""
    base = tmp_path_factory.mktemp("math")
    Arithmetic().save(base / "3")
    with serve(base, model_name="math", rest_api_timeout_in_ms=2000) as server:
        yield Client(server.rest_port, server.grpc_port)


@pytest.fixture(scope="session")
def bert(tmp_path_factory):
    """(client, model): a classifier with attentions, exported and served as "bert"."""
    folder = tmp_path_factory.mktemp("bert")
    model = flowformers.TFBertForSequenceClassification(tiny_config(num_labels=3))
    random = np.random.default_rng(5)
    for weight in model.weights:
        weight.assign(weight + random.normal(scale=0.1, size=weight.shape))
    model.save_pretrained(folder, saved_model=True)
    with serve(folder / "saved_model", model_name="bert") as server:
        yield Client(server.rest_port, server.grpc_port), model
