"""The process: load, open the ports, say so, drain on SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from flowformers.errors import FlowformersError
from flowformers.progress import stage
from flowformers.serving import logs, tracing
from flowformers.serving.batching_config import run_threads
from flowformers.serving.dataplane import Dataplane, Target
from flowformers.serving.execution import Execution
from flowformers.serving.grpc import GrpcApi
from flowformers.serving.grpc_server import listen, make_server
from flowformers.serving.http import HttpServer, bind
from flowformers.serving.operations import monitoring_path, routes
from flowformers.serving.protocols import add_open_inference, rest_app
from flowformers.serving.repository import Repository
from flowformers.serving.security import read_api_keys, read_tls
from flowformers.serving.settings import PORTS, Settings
from flowformers.serving.storage import require_model

log = logging.getLogger("flowformers.serving")
END_SECONDS = 2.0  # after the drain, for what is left


class Server:
    """Both ports over one repository. `rest_port` and `grpc_port` are known once it is ready; 0 where one is off."""

    def __init__(self, settings: Settings) -> None:
        require_model(settings)
        check(settings)
        self.settings = settings
        self.repository = Repository(settings)
        self.dataplane = Dataplane(self.repository, check_method_names=settings.enable_signature_method_name_check)
        self.rest_port = self.grpc_port = 0
        self.ready = threading.Event()
        self._stopping: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def load(self) -> None:
        """Load every model. Ports are open only afterwards, as in TensorFlow Serving."""
        with stage(f"Loading {self.settings.model_config_file or self.settings.model_base_path}"):
            self.repository.start()

    async def serve(self) -> int | None:
        """Serve until stop() is called, then answer what was accepted and return. Raises InvalidInput: port in use.

        Returns None where all has ended, else the exit code of a process that need not wait for what has not.
        """
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        threads = run_threads(self.settings, self.repository.batch_size())
        executor = ThreadPoolExecutor(threads, thread_name_prefix="run")
        try:
            drains = await self._open(Execution(executor, threads, self.settings.max_queued_requests))
            self.ready.set()
            await self._stopping.wait()
            await asyncio.gather(*(drain() for drain in drains))
        finally:
            executor.shutdown(wait=False, cancel_futures=True)
        return self._end()

    async def _open(self, execution: Execution) -> list[Callable[[], Awaitable[object]]]:
        """Answer on both ports; returns what drains and ends each."""
        settings = self.settings
        rest = bind(settings.host, settings.rest_api_port, "rest_api_port") if settings.rest_api_port else None
        tensor_content = settings.enable_serialization_as_tensor_content
        grpc_api = GrpcApi(self.dataplane, execution, tensor_content=tensor_content)
        grpc_server = await make_server(grpc_api, settings)
        add_open_inference(grpc_server, self.dataplane, grpc_api, self.welcomes)
        self.grpc_port = listen(grpc_server, settings)
        await grpc_server.start()
        drains: list[Callable[[], Awaitable[object]]] = [partial(grpc_server.stop, settings.drain_seconds)]
        if rest is not None:
            drains.append(await self._open_rest(rest, execution))
        return drains

    def _end(self) -> int | None:
        """Free the models. Nobody waits any more for a run that still goes on: its client left, or its time is over."""
        if runs := self.repository.running():
            log.warning("the drain is over; runs that nobody waits for are stopped: %s", "; ".join(runs))
            self.repository.interrupt()
        if self.repository.close(END_SECONDS):
            return None
        runs = self.repository.running()
        log.error("left as it is: %s", "; ".join(runs) or "a version that loads or closes")
        return 1 if runs else 0

    async def _open_rest(self, listening: socket.socket, execution: Execution) -> Callable[[], Awaitable[object]]:
        """Answer there; returns what drains and ends it."""
        assert self._stopping is not None
        monitoring = monitoring_path(self.settings.monitoring_config_file)
        keys = read_api_keys(self.settings.api_key_file)
        others = routes(self.repository, self._stopping.is_set, monitoring, keys)
        http = HttpServer(rest_app(self.dataplane, execution, self.settings, self.welcomes, others), self.settings)
        running = asyncio.create_task(http.serve(sockets=[listening]))
        while not http.started and not running.done():
            await asyncio.sleep(0.005)
        self.rest_port = listening.getsockname()[1]

        def drain() -> Awaitable[object]:
            http.should_exit = True
            return running

        return drain

    def stop(self) -> None:
        """Begin to drain; may be called from any thread or signal handler."""
        if self._loop is not None and self._stopping is not None:
            with contextlib.suppress(RuntimeError):  # the loop has closed: all has ended already
                self._loop.call_soon_threadsafe(self._stopping.set)

    def welcomes(self) -> bool:
        """Whether new requests are welcome: not before the ports are open, and not in the drain."""
        return self.ready.is_set() and self._stopping is not None and not self._stopping.is_set()


def check(settings: Settings) -> None:
    """Raises FlowformersError for a port or a file that can't be had: better before a model has taken its time."""
    for flag in PORTS:
        if (port := getattr(settings, flag)) > 0:
            bind(settings.host, port, flag).close()
    for path in filter(None, (settings.ssl_config_file, settings.rest_api_ssl_config_file)):
        read_tls(path)
    read_api_keys(settings.api_key_file)
    monitoring_path(settings.monitoring_config_file)


def run(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code, 0 after a drain. Raises FlowformersError before that.

    Ends the process with 1 where a run that nobody waits for can't be stopped.
    """
    logs.configure(settings.log_format, access=settings.enable_access_log)
    if settings.enable_tracing:
        tracing.start()
    server = Server(settings)
    server.load()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, server.stop)
        announcing = asyncio.create_task(_announce(server))
        try:
            code = await server.serve()
        finally:
            announcing.cancel()
        if code is not None:
            _leave(code)

    _run_loop(main())
    return 0


def _leave(code: int) -> None:
    """End the process now: its usual end waits for every thread."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _run_loop(main: Coroutine[Any, Any, object]) -> None:
    """On uvloop, which Windows has not."""
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    with contextlib.suppress(ImportError):
        from uvloop import new_event_loop as factory
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main)


async def _announce(server: Server) -> None:
    while not server.ready.is_set():
        await asyncio.sleep(0.01)
    print(ready_text(server), file=sys.stderr, flush=True)


def ready_text(server: Server) -> str:
    """A ready line for every model that answers, with both addresses and a request to copy."""
    repository = server.repository
    return "\n".join(_ready_lines(server, name) for name in repository.models() if repository.available(name))


def _ready_lines(server: Server, name: str) -> str:
    settings = server.settings
    url = f"http://{settings.host}:{server.rest_port}/v1/models/{name}"
    grpc = f"{settings.host}:{server.grpc_port}" if server.grpc_port else f"unix:{settings.grpc_socket_path}"
    version, _ = server.dataplane.metadata(Target(name))
    ready = f"Ready: model {name}, version {version}."
    if not server.rest_port:
        return f"{ready} REST off  gRPC {grpc}"
    lines = [f"{ready} REST {url}  gRPC {grpc}"]
    with contextlib.suppress(FlowformersError):
        body = json.dumps({"instances": [_example(server.dataplane.dtypes(Target(name), "serving_default"))]})
        lines.append(f"Try: curl -d '{body}' {url}:predict")
    return "\n".join(lines)


def _example(dtypes: Any) -> Any:
    """One row: a short request for token ids, a word for strings; empty for a signature without inputs."""
    values = {"input_ids": [101, 102], "attention_mask": [1, 1], "token_type_ids": [0, 0]}
    row = {
        name: values.get(name, "I love it" if dtype == "object" else [1, 1]) for name, dtype in sorted(dtypes.items())
    }
    return next(iter(row.values())) if len(row) == 1 else row


@contextlib.contextmanager
def running(settings: Settings) -> Iterator[Server]:
    """A server in a thread of this process, drained at the end of the block; for tests and notebooks.

    A run that can't be stopped goes on after the block, and the process ends after it.
    """
    server = Server(settings)
    server.load()
    failure: list[BaseException] = []

    def main() -> None:
        try:
            _run_loop(server.serve())
        except BaseException as error:  # handed to the caller below
            failure.append(error)
            server.ready.set()

    thread = threading.Thread(target=main, name="server", daemon=True)
    thread.start()
    server.ready.wait()
    if failure:
        raise failure[0]
    try:
        yield server
    finally:
        server.stop()
        thread.join()
