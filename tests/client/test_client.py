"""One set of promises for REST and gRPC, sync and async, against a running server."""

from __future__ import annotations

import inspect
import threading
import time

import numpy as np
import pytest

import flowformers
from flowformers.client import AsyncClient, Client, Label, Retry, TensorInfo, VersionStatus
from flowformers.errors import InvalidInput, Kind, NotFound, ServingError
from flowformers.serving import Settings, running
from tests.client.conftest import made

PAIR = {"a": [[1, 2], [3, 4]], "b": ["x", b"\xff\x00"]}


def refused(call, *args, **options):
    with pytest.raises(ServingError) as caught:
        call(*args, **options)
    return caught.value.kind, str(caught.value)


def test_arrays_go_in_and_arrays_come_out(math):
    answer = math.predict({"x": np.float32([1, 3])})
    assert list(answer) == ["y"]
    np.testing.assert_array_equal(answer["y"], np.float32([0.5, 1.5]))
    assert answer["y"].dtype == np.float32


def test_editors_see_what_a_client_takes():
    parameters = inspect.signature(Client).parameters
    assert list(parameters)[:2] == ["url", "model"]
    assert inspect.signature(Client) == inspect.signature(AsyncClient)
    assert {"timeout", "retry", "api_key", "tls"} <= set(parameters)


def test_the_only_input_needs_no_name(math):
    np.testing.assert_array_equal(math.predict([1, 3])["y"], [0.5, 1.5])


def test_floats_arrive_bit_for_bit(math):
    random = np.random.default_rng(0).integers(0, 2**32, 4096, dtype=np.uint32).view(np.float32)
    normal = random[np.abs(random) > 1e-37]  # TensorFlow flushes denormal results to zero
    sent = np.concatenate([normal, np.float32([0, -0.0, np.inf, -np.inf, np.nan])])
    np.testing.assert_array_equal(math.predict(sent)["y"], sent / 2)


def test_dtypes_shapes_and_bytes_are_those_of_the_signature(math):
    answer = math.predict(PAIR, signature="pair")
    assert answer["sum"].dtype == np.int32
    assert answer["sum"].tolist() == [3, 7]
    assert answer["b_bytes"].tolist() == [b"x", b"\xff\x00"]
    assert answer["scalar"].shape == ()
    assert answer["scalar"] == 7


def test_outputs_are_picked_by_name(math):
    assert list(math.predict(PAIR, signature="pair", outputs=["scalar"])) == ["scalar"]
    assert list(math.predict(PAIR, signature="pair", outputs=["sum", "sum"])) == ["sum"]
    with pytest.raises(InvalidInput, match="no outputs \\['total'\\]"):
        math.predict(PAIR, signature="pair", outputs=["total"])
    with pytest.raises(InvalidInput, match="expected outputs as a list of names; got 'sum'"):
        math.predict(PAIR, signature="pair", outputs="sum")


def test_empty_batches_keep_their_shape_or_are_refused(math, kind):
    assert math.predict({"x": []})["y"].shape == (0,)
    empty = {"a": np.zeros((0, 2), np.int32), "b": []}
    if kind.startswith("rest"):
        with pytest.raises(InvalidInput, match=r"a: the shape \[0, 2\] has no JSON form"):
            math.predict(empty, signature="pair")
    else:
        assert math.predict(empty, signature="pair")["sum"].shape == (0,)


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        ({"a": [[1, 2]]}, r"missing inputs \['b'\], unknown inputs \[\]; signature 'pair' is \(a: int32 \[\?, 2\]"),
        ({"a": [[1, 2]], "b": ["x"], "c": 1}, r"unknown inputs \['c'\]"),
        ({"a": [[1, 2]], "b": ["x"], "c": 1, 2: 3}, r"unknown inputs \[2, 'c'\]"),
        ({"a": [[1.5, 2]], "b": ["x"]}, "a: expected int32 .* got float64"),
        ({"a": [[2**40, 2]], "b": ["x"]}, "a: expected int32 .* do not fit"),
        ({"a": [[1, 2], [3]], "b": ["x"]}, "a: expected int32 .* one length"),
        ({"a": [[1, 2]], "b": [1]}, "b: expected strings or bytes; got int"),
        ({"a": [[1, 2]], "b": ["\ud800"]}, "b: .* has no UTF-8 form"),
        ([1, 2], "expected a mapping of a, b"),
    ],
)
def test_what_would_change_on_the_way_is_refused_before_it_is_sent(math, inputs, text):
    with pytest.raises(InvalidInput, match=text):
        math.predict(inputs, signature="pair")


def test_an_unknown_signature_is_refused_with_those_there_are(math):
    with pytest.raises(InvalidInput, match=r"no signature 'nope'; it has .*serving_default \(x: float32 \[\?\]\)"):
        math.predict([1.0], signature="nope")


def test_metadata_tells_version_and_signatures(math):
    found = math.metadata()
    assert found.version == 3
    assert set(found.signatures) == {"serving_default", "pair", "slow"}
    assert found.signatures["pair"].inputs == {"a": TensorInfo("int32", (None, 2)), "b": TensorInfo("string", (None,))}


def test_status_tells_every_version(math):
    assert math.status() == [VersionStatus(3, "AVAILABLE")]


def test_what_the_server_refuses_has_its_kind(kind, arithmetic):
    with made(kind, arithmetic, "nope") as client:
        assert refused(client.predict, [1.0])[0] is Kind.NOT_FOUND
        assert refused(client.status)[0] is Kind.NOT_FOUND
    with made(kind, arithmetic, "math", version=4) as client:
        assert refused(client.predict, [1.0])[0] is Kind.NOT_FOUND
    with made(kind, arithmetic, "math", label="stable") as client:
        assert refused(client.predict, [1.0])[0] is Kind.INVALID_ARGUMENT


def test_a_version_is_asked_by_its_number(kind, arithmetic):
    with made(kind, arithmetic, "math", version=3) as client:
        assert client.predict([1.0])["y"] == 0.5


def test_a_timeout_ends_the_call(math):
    math.metadata()
    start = time.monotonic()
    assert refused(math.predict, [1.0], signature="slow", timeout=0.3)[0] is Kind.DEADLINE_EXCEEDED
    assert time.monotonic() - start < 2


def test_nobody_there_is_unavailable_after_the_tries(kind, arithmetic):
    class Nobody:
        rest_port = grpc_port = 1

    with made(kind, Nobody, "math", retry=Retry(attempts=2, initial=0.01)) as client:
        assert refused(client.status)[0] is Kind.UNAVAILABLE


def test_waiting_ends_when_the_model_is_there(kind, tmp_path):
    from tests.serving.conftest import Arithmetic

    Arithmetic().save(tmp_path / "1")
    with running(Settings(model_base_path=tmp_path, port=-1, rest_api_port=-1)) as server:
        ports = server.rest_port, server.grpc_port
    late = Settings(model_base_path=tmp_path, rest_api_port=ports[0], port=ports[1])
    stop = threading.Event()

    def serve():
        time.sleep(0.5)
        with running(late):
            stop.wait(30)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with made(kind, server, "default") as client:
            client.wait_until_ready(20)
            assert client.predict([4.0])["y"] == 2
    finally:
        stop.set()
        thread.join()


def test_waiting_for_nothing_tells_what_was_seen(math, kind, arithmetic):
    math.wait_until_ready()
    with made(kind, arithmetic, "nope") as client:
        found, text = refused(client.wait_until_ready, 1)
    assert found is Kind.DEADLINE_EXCEEDED
    assert "last seen: NOT_FOUND" in text


def test_texts_become_labels(kind, words):
    with made(kind, words, "words") as client:
        labels = client.classify(["I love it.", "Not for me."])
        full = client.predict(["I love it.", "Not for me."], signature="text")
        assert labels == [Label(*one) for one in zip(full["label"], full["score"].tolist(), strict=True)]
        assert {one.label for one in labels} <= {"good", "bad", "ügly"}
        assert client.classify("I love it.") == client.classify(["I love it."])
        assert client.classify(["Rain."], ["Sun."])[0].score > 0
        with pytest.raises(InvalidInput, match="expected a pair for each text; got 2 and 1"):
            client.classify(["Rain.", "Snow."], ["Sun."])


def test_a_tokenizers_answer_goes_in_as_it_is(kind, words):
    batch = flowformers.AutoTokenizer.from_pretrained(words.checkpoint)(["I love it.", "No."], padding=True)
    with made(kind, words, "words") as client:
        ids, strings = client.predict(batch), client.predict(["I love it.", "No."], signature="text")
    np.testing.assert_allclose(ids["logits"], strings["logits"], atol=1e-5)


def test_a_model_without_text_says_how_to_get_it(math):
    with pytest.raises(InvalidInput, match=r"has no signature 'text' that gives label, score; it has .* --text"):
        math.classify(["I love it."])
    with pytest.raises(InvalidInput, match="that gives sentence_embedding"):
        math.embed(["I love it."])


@pytest.mark.parametrize(
    ("texts", "pairs", "text"),
    [
        (5, None, "expected texts as a list of strings; got int"),
        (["a"], 5, "expected pairs as a list of strings; got int"),
        ({"text": "a"}, None, "expected texts as a list of strings; got a mapping"),
    ],
)
def test_texts_of_another_form_are_refused(math, texts, pairs, text):
    with pytest.raises(InvalidInput, match=text):
        math.classify(texts, pairs)
    with pytest.raises(InvalidInput, match="expected a pair for each text; got 1 and 2"):
        math.classify(["a"], (pair for pair in "bc"))


def test_many_threads_share_a_client(arithmetic):
    with made("rest", arithmetic, "math") as rest, made("grpc", arithmetic, "math") as grpc:
        wrong = []

        def ask(number):
            for client in (rest, grpc):
                if client.predict([float(number)])["y"] != number / 2:
                    wrong.append(number)

        threads = [threading.Thread(target=ask, args=[number]) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


@pytest.mark.parametrize("url", ["localhost:8501", "ftp://host", "http://", "grpc://host:port", "unix:"])
def test_an_address_of_another_form_is_refused(url):
    with pytest.raises(InvalidInput, match="expected http://HOST:PORT"):
        Client(url, model="bert")


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"model": ""}, InvalidInput),
        ({"model": "m", "version": 1, "label": "x"}, InvalidInput),
        ({"model": "m", "timeout": 0}, InvalidInput),
    ],
)
def test_options_that_make_no_sense_are_refused(options, error):
    with pytest.raises(error):
        Client(**options)


def test_certificates_must_be_there_and_fit_the_address(tmp_path):
    from flowformers.client import Tls

    with pytest.raises(NotFound, match="expected a PEM file"):
        Tls(ca=tmp_path / "none.pem")
    (tmp_path / "ca.pem").write_text("")
    with pytest.raises(InvalidInput, match="certificate and key together"):
        Tls(certificate=tmp_path / "ca.pem")
    with pytest.raises(InvalidInput, match="tls is for https"):
        Client("http://localhost", model="m", tls=Tls(ca=tmp_path / "ca.pem"))
