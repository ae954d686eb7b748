"""Servers in trouble: what is tried again, how long it is waited, and what is not."""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import socket
import threading
import time

import grpc
import pytest

from flowformers.client import AsyncClient, Client, Retry
from flowformers.errors import InvalidInput, Kind, ServingError
from flowformers.wire import get_model_status_pb2, predict_pb2
from tests.client.conftest import Awaited, Late, grpc_script, http_script
from tests.client.test_rollout import declares_in_grpc

FAST = Retry(attempts=3, initial=0.01)
FINE = {"error_code": "OK", "error_message": ""}
READY = {"model_version_status": [{"version": "1", "state": "AVAILABLE", "status": FINE}]}
OK = 200, {}, READY


def busy(status, **headers):
    return status, headers, {"error": "busy"}


@pytest.fixture(params=[Client, Awaited])
def client_of(request):
    return lambda port, **options: request.param(f"http://127.0.0.1:{port}", model="m", **{"retry": FAST} | options)


@pytest.mark.parametrize("status", [429, 503, 502])
def test_overload_is_tried_again_until_it_passes(client_of, status):
    with http_script(busy(status), busy(status), OK) as (port, script), client_of(port) as client:
        assert client.status()[0].state == "AVAILABLE"
    assert len(script.seen) == 3


def test_the_last_error_stands_after_the_tries(client_of):
    with http_script(busy(429)) as (port, script), client_of(port) as client, pytest.raises(ServingError) as caught:
        client.status()
    assert (caught.value.kind, str(caught.value)) == (Kind.RESOURCE_EXHAUSTED, "busy (HTTP 429)")
    assert len(script.seen) == 4


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 499, 500, 501, 504])
def test_other_errors_are_not_tried_again(client_of, status):
    with http_script(busy(status), OK) as (port, script), client_of(port) as client, pytest.raises(ServingError):
        client.status()
    assert len(script.seen) == 1


def test_retry_after_is_waited_for(client_of):
    with http_script(busy(503, **{"retry-after": "1"}), OK) as (port, _), client_of(port) as client:
        start = time.monotonic()
        client.status()
    assert 1 <= time.monotonic() - start < 3


def test_retry_after_may_be_a_date(client_of):
    later = email.utils.formatdate(time.time() + 3, usegmt=True)
    with http_script(busy(503, **{"retry-after": later}), OK) as (port, _), client_of(port) as client:
        start = time.monotonic()
        client.status()
    assert 0.9 < time.monotonic() - start < 5


def test_no_wait_outlasts_the_timeout(client_of):
    with http_script(busy(503, **{"retry-after": "60"}), OK) as (port, script), client_of(port, timeout=1) as client:
        start = time.monotonic()
        with pytest.raises(ServingError) as caught:
            client.status()
    assert caught.value.retry_after == 60
    assert time.monotonic() - start < 1
    assert len(script.seen) == 1


@contextlib.contextmanager
def dripping(at_once):
    """The port of a server that sends so much of an answer at once, and the rest byte by byte for three seconds."""
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n" + b" " * 1000

    def drip():
        with contextlib.suppress(OSError):  # the client went, or never came
            peer, _ = listening.accept()
            with peer:
                peer.recv(65536)
                peer.sendall(answer[:at_once])
                for number in range(at_once, at_once + 60):
                    time.sleep(0.05)
                    peer.sendall(answer[number : number + 1])

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=drip)
        thread.start()
        yield listening.getsockname()[1]
    thread.join()


@pytest.mark.parametrize("at_once", [1, 100], ids=["head", "body"])
def test_the_timeout_is_for_the_whole_exchange(client_of, at_once):
    with dripping(at_once) as port, client_of(port, timeout=0.3) as client:
        start = time.monotonic()
        with pytest.raises(ServingError) as caught:
            client.status()
        assert caught.value.kind is Kind.DEADLINE_EXCEEDED
        assert time.monotonic() - start < 1.5


@pytest.mark.parametrize(
    "body", [b"", b"<html>", {"x": 1}, [], {"model_version_status": [{}]}, {"model_version_status": 3}]
)
def test_a_server_of_another_kind_is_named(client_of, body):
    with http_script((200, {}, body)) as (port, _), client_of(port) as client, pytest.raises(ServingError) as caught:
        client.status()
    assert "does not answer as TensorFlow Serving does" in str(caught.value)


def test_a_proxys_error_page_is_shown(client_of):
    page = 403, {}, b"<h1>Forbidden</h1>"
    with http_script(page) as (port, _), client_of(port) as client, pytest.raises(ServingError) as caught:
        client.status()
    assert str(caught.value) == "<h1>Forbidden</h1> (HTTP 403)"
    assert caught.value.kind is Kind.PERMISSION_DENIED


def test_a_cut_connection_is_tried_again(client_of):
    cut = 200, {"content-length": "10000"}, b"{"
    with http_script(cut, OK) as (port, script), client_of(port) as client:
        # The handler closes nothing by itself: HTTP/1.0 ends each answer with the connection.
        assert client.status()[0].version == 1
    assert len(script.seen) == 2


def test_a_broken_gzip_answer_is_named_and_not_asked_for_again(client_of):
    broken = 200, {"content-encoding": "gzip"}, b"no gzip"
    with http_script(broken) as (port, script), client_of(port) as client, pytest.raises(ServingError) as caught:
        client.status()
    assert "/v1/models/m answers in an encoding that can't be undone" in str(caught.value)
    assert caught.value.kind is Kind.UNKNOWN
    assert len(script.seen) == 1


def test_keys_and_headers_go_with_every_request(client_of):
    with http_script(OK) as (port, script), client_of(port, api_key="k", headers={"X-Team": "a"}) as client:
        client.status()
    headers = {name.lower(): value for name, value in script.seen[0][1].items()}
    assert (headers["authorization"], headers["x-team"]) == ("Bearer k", "a")


def test_names_are_escaped_in_the_path(client_of):
    with (
        http_script(OK) as (port, script),
        Client(f"http://127.0.0.1:{port}/base/", model="a/b:c", label="é") as client,
    ):
        client.status()
    assert script.seen[0][0] == "/base/v1/models/a%2Fb%3Ac/labels/%C3%A9"


@pytest.mark.parametrize("value", ["inf", "1e400", "nan", "-1", "tomorrow", "Fri, 31 Dec 99999 23:59:59 GMT"])
def test_a_retry_after_that_is_no_time_is_not_waited_for(client_of, value):
    with (
        http_script(busy(503, **{"retry-after": value}), OK) as (port, script),
        client_of(port, timeout=None) as client,
    ):
        assert client.status()[0].version == 1
    assert len(script.seen) == 2


@pytest.mark.parametrize("status", [200, 400])
def test_an_answer_nested_without_end_is_an_error_of_the_server(client_of, status):
    with http_script((status, {}, b"[" * 10**5)) as (port, _), client_of(port) as client, pytest.raises(ServingError):
        client.status()


def test_an_answer_that_can_not_be_read_does_not_blame_the_input():
    odd = predict_pb2.PredictResponse()
    odd.outputs["y"].dtype = 11  # a quantized one
    told = declares_in_grpc({"y": "DT_FLOAT"})
    with (
        grpc_script(told, odd) as (port, _),
        Client(f"grpc://127.0.0.1:{port}", model="m") as client,
        pytest.raises(ServingError, match=r"the answer can't be read: .* y: dtype 11") as caught,
    ):
        client.predict([1.0])
    assert caught.value.kind is Kind.UNKNOWN


@pytest.fixture(params=["http", "grpc"])
def held_back(request):
    """(url, an answer that does not come until the test has ended)."""
    serve, error = {"http": (http_script, busy(400)), "grpc": (grpc_script, (grpc.StatusCode.NOT_FOUND, "", ()))}[
        request.param
    ]
    late = Late(error)
    with serve(late) as (port, _):
        yield f"{request.param}://127.0.0.1:{port}", late
        late.go.set()


def test_closing_an_async_client_is_an_error_to_those_who_wait_and_no_cancellation(held_back):
    url, late = held_back

    async def ask():
        client = AsyncClient(url, model="m", retry=FAST)
        waiting = asyncio.create_task(client.metadata())
        await asyncio.to_thread(late.asked.wait, 10)
        await client.close()
        return (await asyncio.gather(waiting, return_exceptions=True))[0]

    error = asyncio.run(ask())
    assert isinstance(error, ServingError)
    assert error.kind is Kind.CANCELLED


def test_a_task_that_is_cancelled_while_it_waits_stays_cancelled(held_back):
    url, late = held_back

    async def ask():
        async with AsyncClient(url, model="m", retry=FAST) as client:
            waiting = asyncio.create_task(client.metadata())
            await asyncio.to_thread(late.asked.wait, 10)
            waiting.cancel()
            await asyncio.wait([waiting])
            return waiting.cancelled()

    assert asyncio.run(ask())


@pytest.mark.parametrize("kind", [Client, Awaited])
@pytest.mark.parametrize(
    ("trailing", "least"),
    [((), 0), ((("grpc-retry-pushback-ms", "500"),), 0.5), ((("retry-after", "1"),), 1), ((("retry-after", "x"),), 0)],
)
def test_grpc_waits_as_the_server_asks(kind, trailing, least):
    error = grpc.StatusCode.RESOURCE_EXHAUSTED, "busy", trailing
    end = grpc.StatusCode.NOT_FOUND, "gone", ()
    with grpc_script(error, end) as (port, script):
        start, url = time.monotonic(), f"grpc://127.0.0.1:{port}"
        with (
            kind(url, model="m", retry=FAST, api_key="k") as client,
            pytest.raises(ServingError, match="gone") as caught,
        ):
            client.metadata()
        assert time.monotonic() - start >= least
    assert (caught.value.kind, str(caught.value)) == (Kind.NOT_FOUND, "gone")
    assert len(script.seen) == 2
    assert script.seen[0]["authorization"] == "Bearer k"


def test_a_server_that_says_never_is_not_asked_again():
    """Negative pushback, https://github.com/grpc/proposal/blob/master/A6-client-retries.md."""
    busy_for_good = grpc.StatusCode.UNAVAILABLE, "busy", (("grpc-retry-pushback-ms", "-1"),)
    with grpc_script(busy_for_good) as (port, script):
        client = Client(f"grpc://127.0.0.1:{port}", model="m", retry=FAST)
        with client, pytest.raises(ServingError, match="busy"):
            client.metadata()
    assert len(script.seen) == 1


@pytest.mark.parametrize("given", [{"api_key": "k\n"}, {"headers": {"x-team": "é"}}, {"headers": {"x team": "a"}}])
def test_what_is_no_header_is_refused_before_it_is_sent(given):
    with pytest.raises(InvalidInput, match="header"):
        Client("http://localhost:1", model="m", **given)


def test_waits_are_random_and_grow_to_a_limit():
    retry = Retry(attempts=100, initial=0.1, longest=1.0)
    error = ServingError(Kind.UNAVAILABLE, "")
    waits = [[retry.wait(number, error) for _ in range(200)] for number in range(20)]
    assert all(0 <= one <= 0.1 for one in waits[0])
    assert max(map(max, waits)) <= 1.0
    assert max(waits[4]) > 0.5
    assert len(set(waits[4])) > 100
    assert retry.wait(100, error) is None


@pytest.mark.parametrize("options", [{"attempts": -1}, {"initial": 0}, {"initial": 2, "longest": 1}])
def test_a_retry_that_makes_no_sense_is_refused(options):
    with pytest.raises(InvalidInput):
        Retry(**options)


def test_status_words_of_the_two_protocols_are_the_same():
    """VersionStatus.state is a word on REST and a number on gRPC."""
    state = get_model_status_pb2.ModelVersionStatus.State
    assert [state.Name(number) for number in (10, 30, 50)] == ["START", "AVAILABLE", "END"]
