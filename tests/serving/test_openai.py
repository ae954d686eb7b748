"""OpenAI's /v1/embeddings, as its public reference has it."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from flowformers.wire import openai_form
from tests.serving.conftest import Client, serve
from tests.serving.test_kserve import attempt


class Encoder(tf.Module):
    """A sentence encoder whose answers a reader can work out: a text's tokens are its bytes."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def text(self, text):
        size = tf.cast(tf.strings.length(text), tf.float32)
        return {"sentence_embedding": tf.stack([size, size / 3], -1)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def tokenize(self, text):
        ids = tf.strings.bytes_split(text)
        return {"attention_mask": tf.ones_like(ids.to_tensor(), tf.int32) * tf.cast(ids.to_tensor() != "", tf.int32)}

    @tf.function(
        input_signature=[tf.TensorSpec([None, None], tf.int32, name=n) for n in ("input_ids", "attention_mask")]
    )
    def ids(self, input_ids, attention_mask):
        sums = tf.cast(tf.reduce_sum(input_ids * attention_mask, -1), tf.float32)
        return {"sentence_embedding": tf.stack([sums, tf.cast(tf.reduce_sum(attention_mask, -1), tf.float32)], -1)}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    base = tmp_path_factory.mktemp("encoder")
    model = Encoder()
    signatures = {"serving_default": model.ids, "text": model.text, "tokenize": model.tokenize}
    tf.saved_model.save(model, str(base / "1"), signatures=signatures)
    with serve(base, model_name="encoder") as server:
        yield Client(server.rest_port, server.grpc_port)


def embed(client, input_, **fields):
    return client.json("/v1/embeddings", {"model": "encoder", "input": input_} | fields)


def vectors(answer):
    return [one["embedding"] for one in answer["data"]]


def test_texts_become_embeddings_with_their_count_of_tokens(encoder):
    status, answer = embed(encoder, ["abc", "é"])
    third = float(np.float32(2 / 3))
    assert status == 200
    assert answer == {
        "object": "list",
        "data": [
            {"object": "embedding", "index": 0, "embedding": [3.0, 1.0]},
            {"object": "embedding", "index": 1, "embedding": [2.0, third]},
        ],
        "model": "encoder",
        "usage": {"prompt_tokens": 5, "total_tokens": 5},
    }


def test_a_single_text_is_a_list_of_one(encoder):
    assert embed(encoder, "abc") == embed(encoder, ["abc"])


def test_null_means_not_given(encoder):
    assert embed(encoder, "abc", encoding_format=None, dimensions=None, user=None) == embed(encoder, "abc")


def test_base64_holds_the_same_float32(encoder):
    _, plain = embed(encoder, ["abcd", "e"])
    _, packed = embed(encoder, ["abcd", "e"], encoding_format="base64")
    decoded = [np.frombuffer(base64.b64decode(one), "<f4").tolist() for one in vectors(packed)]
    assert decoded == vectors(plain)


def test_token_ids_of_different_length_do_not_touch_each_other(encoder):
    status, answer = embed(encoder, [[5, 6, 7], [9]])
    assert (status, vectors(answer), answer["usage"]["prompt_tokens"]) == (200, [[18.0, 3.0], [9.0, 1.0]], 4)
    assert vectors(embed(encoder, [5, 6, 7])[1]) == [[18.0, 3.0]]


def test_dimensions_are_those_of_the_model(encoder):
    assert embed(encoder, "abc", dimensions=2)[0] == 200
    status, answer = embed(encoder, "abc", dimensions=1)
    assert (status, answer["error"]["message"]) == (400, "encoder has 2 dimensions, and no shorter form of them")


@pytest.mark.parametrize(
    ("body", "status", "type_", "fragment"),
    [
        ({"model": "nope", "input": "x"}, 404, "invalid_request_error", "Servable not found"),
        ({"input": "x"}, 400, "invalid_request_error", "the name of a model"),
        ({"model": "encoder"}, 400, "invalid_request_error", "expected 'input'"),
        ({"model": "encoder", "input": []}, 400, "invalid_request_error", "expected 'input'"),
        ({"model": "encoder", "input": ["x", 1]}, 400, "invalid_request_error", "only strings"),
        ({"model": "encoder", "input": [[1], []]}, 400, "invalid_request_error", "only strings"),
        ({"model": "encoder", "input": [-1]}, 400, "invalid_request_error", "only strings"),
        ({"model": "encoder", "input": [True]}, 400, "invalid_request_error", "only strings"),
        (
            {"model": "encoder", "input": "x", "encoding_format": "int8"},
            400,
            "invalid_request_error",
            "encoding_format",
        ),
        ({"model": "encoder", "input": "x", "dimensions": "2"}, 400, "invalid_request_error", "dimensions"),
        (b'{"model": "encoder", "input": "\\ud800"}', 400, "invalid_request_error", "surrogate"),
        ({"model": "encoder", "input": [[1] * 10_000, *[[1]] * 10_000]}, 400, "invalid_request_error", "send fewer"),
        (b"", 400, "invalid_request_error", "not JSON"),
    ],
)
def test_errors_have_openais_form(encoder, body, status, type_, fragment):
    got, answer = encoder.json("/v1/embeddings", body)
    assert (got, answer["error"]["type"]) == (status, type_)
    assert set(answer["error"]) == {"message", "type", "param", "code"}
    assert fragment in answer["error"]["message"]


def test_an_unknown_model_is_named_as_the_parameter_at_fault(encoder):
    error = encoder.json("/v1/embeddings", {"model": "nope", "input": "x"})[1]["error"]
    assert (error["param"], error["code"]) == ("model", "model_not_found")


def test_a_model_without_embeddings_says_so(arithmetic):
    status, answer = arithmetic.json("/v1/embeddings", {"model": "math", "input": "x"})
    assert status == 400
    assert "no signature of math takes text and gives sentence_embedding" in answer["error"]["message"]


def test_tensorflow_servings_own_paths_are_untouched(encoder):
    assert encoder.json("/v1/models/encoder")[0] == 200
    assert encoder.json("/v1/embedding", {})[1]["error"].startswith("Malformed request")


VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda x: st.lists(x, max_size=3), max_leaves=8
)


KEYS = st.sampled_from(["model", "input", "encoding_format", "dimensions"])


@given(st.dictionaries(KEYS, VALUE), st.binary(max_size=9))
def test_no_body_gets_anything_but_a_request_or_a_refusal(content, raw):
    for body in (json.dumps(content).encode(), raw):
        found, refusal = attempt(openai_form.parse, body)
        assert refusal == "INVALID_ARGUMENT" if found is None else (found.texts is None) is not (found.ids is None)
