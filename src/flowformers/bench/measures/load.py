"""A server process, and clients that ask it in a closed loop."""

from __future__ import annotations

import asyncio
import http.client
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import grpc

from flowformers.errors import PeerUnavailable

READY = re.compile(r"Ready: .*REST http://[^:]+:(\d+)\S*\s+gRPC [^:]+:(\d+)")
PREDICT = "/tensorflow.serving.PredictionService/Predict"


@dataclass(frozen=True)
class Ports:
    """Of a server on this machine, which was ready so many seconds after its start."""

    rest: int
    grpc: int
    ready: float


@contextmanager
def serving(base: Path, log: Path, *flags: str) -> Iterator[Ports]:
    """`flowformers serve` of a folder of versions as "model", ended after the block."""
    words = [sys.executable, "-m", "flowformers", "serve", str(base), "--model_name", "model"]
    words += ["--port=-1", "--rest_api_port=-1", *flags]
    with log.open("w") as errors:
        process = subprocess.Popen(words, stderr=errors, env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"})
    try:
        yield _ports(process, log)
    finally:
        process.terminate()
        process.wait()


def _ports(process: subprocess.Popen[bytes], log: Path) -> Ports:
    start = time.perf_counter()
    for _ in range(6000):
        found = READY.search(log.read_text(encoding="utf-8"))
        if found:
            return Ports(int(found[1]), int(found[2]), time.perf_counter() - start)
        if process.poll() is not None:
            break
        time.sleep(0.02)
    raise PeerUnavailable(f"the server was not ready in two minutes: {log.read_text(encoding='utf-8')[-300:]}")


def rest_call(port: int) -> Callable[[bytes], bytes]:
    """POST a body to :predict over one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port)

    def call(body: bytes) -> bytes:
        connection.request("POST", "/v1/models/model:predict", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = response.read()
        if response.status != 200:
            raise PeerUnavailable(f"the server answered {response.status}: {answer[:300]!r}")
        return answer

    return call


def grpc_call(port: int) -> Callable[[bytes], bytes]:
    """Send a serialised PredictRequest over one connection."""
    call: Callable[[bytes], bytes] = grpc.insecure_channel(f"127.0.0.1:{port}").unary_unary(PREDICT)
    return call


def in_turn(calls: Sequence[Callable[[], object]], *, rounds: int, count: int) -> list[list[float]]:
    """Median seconds of each call in each round: a round makes every call `count` times, one after the other.

    The clock of a machine wanders within seconds, so what is compared must be near in time. One more round, the first,
    is not timed.
    """
    found: list[list[float]] = [[] for _ in calls]
    for number in range(rounds + 1):
        for call, medians in zip(calls, found, strict=True):
            times = [_seconds(call) for _ in range(count)]
            if number:
                medians.append(median(times))
    return found


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def concurrently(port: int, bodies: Sequence[bytes], *, clients: int, seconds: float) -> tuple[float, list[float]]:
    """Closed loop over gRPC: every client sends its next request when the last is answered.

    Returns requests a second and each request's seconds; what the first tenth of the time saw is left out.
    """
    return asyncio.run(_clients(port, bodies, clients, seconds))


async def _clients(port: int, bodies: Sequence[bytes], clients: int, seconds: float) -> tuple[float, list[float]]:
    times: list[tuple[float, float]] = []
    begin = time.perf_counter() + seconds / 10
    end = begin + seconds

    async def client(number: int) -> None:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", [("grpc.use_local_subchannel_pool", 1)]) as channel:
            call = channel.unary_unary(PREDICT)
            while (start := time.perf_counter()) < end:
                await call(bodies[number % len(bodies)])
                times.append((start, time.perf_counter()))
                number += clients

    await asyncio.gather(*(client(number) for number in range(clients)))
    kept = [(start, stop) for start, stop in times if stop >= begin and stop <= end]
    if not kept:
        raise PeerUnavailable(f"the server answered none of {clients} clients in {seconds:g} s")
    return len(kept) / seconds, [stop - start for start, stop in kept]
