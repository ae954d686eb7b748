"""Whatever comes in at either door, the next valid request is answered right.

    FLOWFORMERS_FUZZ=200000 pytest -m slow tests/serving/test_fuzz.py

sends that many broken requests (6,000 unless told), half over each protocol. Requests are mutations of valid ones and
bytes at random, under a seed of their own each: a failure prints the seed.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import time

import grpc
import numpy as np
import pytest

from flowformers.wire import predict_pb2, prediction_service_pb2_grpc
from flowformers.wire.tensors import TensorProto, to_proto
from tests.serving.conftest import Client

COUNT = int(os.environ.get("FLOWFORMERS_FUZZ", "6000")) // 2
SECONDS = 5  # the longest that an answer may take
PREDICT = "/v1/models/math:predict"
VALID = {"instances": [1, 2.5]}

pytestmark = pytest.mark.slow

WORDS = [
    "NaN",
    "-Infinity",
    "null",
    "true",
    '"x"',
    "{}",
    "[]",
    '{"b64": "eA"}',
    "1e309",
    "-1",
    "2.0",
    '"\\ud800"',
    "[[[1]]]",
]
BODIES = [
    '{"instances": [1, 2]}',
    '{"inputs": {"a": [[1, 2]], "b": ["x"]}, "signature_name": "pair"}',
    '{"signature_name": "pair", "instances": [{"a": [1, 2], "b": "x"}, {"a": [3, 4], "b": {"b64": "eA=="}}]}',
    '{"examples": [{"x": 1.0}], "context": {}}',
]
PATHS = [PREDICT, "/v1/models/math/versions/3:predict", "/v1/models/math:classify", "/v1/models/math:regress"]
METHODS = ["POST", "POST", "POST", "POST", "GET", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"]


def mutated(random: random.Random, content: bytes) -> bytes:
    """The bytes with a few of them changed, dropped, doubled, or replaced by a JSON word."""
    found = bytearray(content)
    for _ in range(random.randint(0, 4)):
        place, end = random.randint(0, len(found)), random.randint(0, len(found))
        choice = random.randrange(4)
        if choice == 0 and found:
            found[place % len(found)] = random.randrange(256)
        elif choice == 1:
            del found[min(place, end) : max(place, end)]
        elif choice == 2:
            found[place:place] = found[min(place, end) : max(place, end)]
        else:
            found[place:place] = random.choice(WORDS).encode()
    return bytes(found)


def substituted(random: random.Random) -> bytes:
    """A valid body with one value replaced, so that it still parses."""
    body = random.choice(BODIES)
    places = [index for index, letter in enumerate(body) if letter in "12"]
    place = random.choice(places)
    return (body[:place] + random.choice(WORDS) + body[place + 1 :]).encode()


def path(random: random.Random) -> str:
    if random.random() < 0.7:
        return random.choice(PATHS)
    letters = "".join(chr(random.randint(33, 126)) for _ in range(random.randint(0, 20)))
    return random.choice(["/v1/", "/v1/models/", "/v1/models/math", "/"]) + letters.replace("#", "")


def send(client: Client, connection, method, target, body):
    """(status, body, seconds) on the connection, which is opened again where the server closed it."""
    begun = time.monotonic()
    connection.request(method, target, body, {"Content-Encoding": "gzip"} if body.startswith(b"\x1f") else {})
    answer = connection.getresponse()
    content = answer.read()
    return answer.status, content, time.monotonic() - begun


def test_no_request_over_rest_is_a_500_or_hurts_the_next(arithmetic):  # protocol 2, 4, 5, 7, 9
    connection = http.client.HTTPConnection("127.0.0.1", arithmetic.rest_port, timeout=SECONDS)
    for seed in range(COUNT):
        chance = random.Random(seed)
        body = substituted(chance) if chance.random() < 0.5 else mutated(chance, chance.choice(BODIES).encode())
        status, content, seconds = send(arithmetic, connection, chance.choice(METHODS), path(chance), body)
        assert status < 500 or status == 501, (seed, status, content)
        assert seconds < SECONDS, (seed, seconds)
        status, content, _ = send(arithmetic, connection, "POST", PREDICT, json.dumps(VALID).encode())
        assert (status, json.loads(content)) == (200, {"predictions": [0.5, 1.25]}), seed
    connection.close()


def broken_tensor(random: random.Random):
    """A tensor with fields that do not fit each other."""
    made = TensorProto(dtype=random.choice([0, 1, 1, 2, 3, 7, 7, 9, 10, 14, 19, 20, 21, 25, 101]))
    for _ in range(random.choice([0, 1, 1, 2, 3, 70])):
        made.tensor_shape.dim.add(size=random.choice([0, 1, 1, 2, 2, 3, -1, 2**20, 2**31, 2**62]))
    made.tensor_shape.unknown_rank = random.random() < 0.05
    for field, value in (
        ("float_val", 1.5),
        ("int_val", -7),
        ("string_val", b"\xff"),
        ("half_val", 70000),
        ("bool_val", True),
    ):
        if random.random() < 0.3:
            getattr(made, field).extend([value] * random.randint(1, 3))
    if random.random() < 0.2:
        made.tensor_content = random.randbytes(random.choice([0, 3, 4, 8]))
    return made


def message(random: random.Random) -> bytes:
    """The bytes of a PredictRequest that is wrong in content, in form, or in neither."""
    made = predict_pb2.PredictRequest()
    made.model_spec.name = random.choice(["math", "math", "math", "", "nope", "\u00e9" * 2000])
    made.model_spec.signature_name = random.choice(["", "", "pair", "nope"])
    if random.random() < 0.2:
        made.model_spec.version.value = random.choice([3, 0, -1, 2**63 - 1])
    for name in random.choice([["x"], ["x"], ["a", "b"], ["a"], [], ["x", "y"]]):
        made.inputs[name].CopyFrom(broken_tensor(random))
    made.output_filter.extend(random.choice([[], [], ["y"], ["y", "y"], ["nope"]]))
    content = made.SerializeToString()
    return content if random.random() < 0.6 else mutated(random, content)


# What a graph, a signature or a tensor may say to a request that does not fit; INTERNAL is for bytes that do not parse.
ALLOWED = {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "UNIMPLEMENTED", "OUT_OF_RANGE", "INTERNAL"}


def outcome(call, content: bytes) -> tuple[str, str]:
    try:
        call(content, timeout=SECONDS)
    except grpc.RpcError as error:
        return error.code().name, error.details()
    return "OK", ""


def test_no_request_over_grpc_is_unknown_or_hurts_the_next(arithmetic):  # protocol 10, 11
    valid = predict_pb2.PredictRequest()
    valid.model_spec.name = "math"
    valid.inputs["x"].CopyFrom(to_proto(np.float32([1, 2.5])))
    # A request of a million numbers is right, and gets as many.
    options = [("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(f"127.0.0.1:{arithmetic.grpc_port}", options) as channel:
        raw = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
        predict = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict
        for seed in range(COUNT):
            content = message(random.Random(seed))
            code, details = outcome(raw, content)
            assert code in ALLOWED, (seed, code, details)
            assert code != "INTERNAL" or "no message of this method" in details, (seed, details)
            assert list(predict(valid, timeout=SECONDS).outputs["y"].float_val) == [0.5, 1.25], seed
