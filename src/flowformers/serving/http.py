"""uvicorn with limits on what a connection may do before its request is whole.

uvicorn has no hook for that, so its protocol is subclassed. Relied on, and held by a test: the callbacks of asyncio and
of httptools (on_message_begin, on_headers_complete, on_body, on_message_complete) are its methods, _start_asgi_task
begins a request and _unset_keepalive_if_required its end of idleness; loop, transport, parser, url, headers, scope,
cycle and server_state are attributes; Config takes the class as `http`; Server installs its signal handlers in
capture_signals.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import re
import socket
import ssl
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from flowformers.errors import InvalidInput
from flowformers.serving.security import http_context, read_tls
from flowformers.serving.settings import Settings

NEVER = 2**31 - 1  # seconds: uvicorn takes 0 for at once


class HttpServer(uvicorn.Server):
    """uvicorn without its own signal handlers: one handler drains both ports."""

    def __init__(self, app: Any, settings: Settings) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=_protocol(settings),
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                lifespan="off",
                limit_concurrency=settings.max_connections or None,
                timeout_keep_alive=settings.idle_seconds or NEVER,
                timeout_graceful_shutdown=int(settings.drain_seconds),
            )
        )
        self.config.load()
        self.config.ssl = _context(settings)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _context(settings: Settings) -> ssl.SSLContext | None:
    path = settings.rest_api_ssl_config_file
    return http_context(read_tls(path), path) if path else None


def _protocol(settings: Settings) -> type[HttpToolsProtocol]:
    """The protocol of one connection, with the settings' limits."""

    class Limited(GuardedProtocol):
        max_header_bytes = settings.max_header_bytes
        idle_seconds = settings.idle_seconds

    return Limited


REQUEST_LINE = re.compile(rb"[!-~]+ [!-~]+ HTTP/1\.[01]\r?\n")


class GuardedProtocol(HttpToolsProtocol):
    """Closes a connection with endless headers, and one whose client neither ends its request nor takes its answer.

    Beyond uvicorn's: Upgrade is ignored, HTTP/1.0 may keep its connection, and refusals are HTML pages
    (TF Serving protocol, sections 2 and 3).
    """

    max_header_bytes: int
    idle_seconds: int

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head_bytes, self._awaited = 0, True
        self._shared = self._refused = False
        self._progress, self._unsent = self.loop.time(), 0
        self._watch = self.loop.call_later(self.idle_seconds, self._look) if self.idle_seconds else None

    def connection_lost(self, exc: Exception | None) -> None:
        if self._watch is not None:
            self._watch.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._progress, self._shared = self.loop.time(), False
        self._unset_keepalive_if_required()
        try:
            self._feed(data)
        except httptools.HttpParserInvalidMethodError:
            self._refuse(501 if REQUEST_LINE.match(data) else 400)
        except httptools.HttpParserError:
            self._refuse(400)
        # A head, or the trailers behind a body: what it shares a read with is not its own; if it never ends, the next
        # read counts.
        if self._awaited and not self._shared:
            self._head_bytes += len(data)
            if self.max_header_bytes and self._head_bytes > self.max_header_bytes:
                self._refuse(431)

    def _feed(self, data: bytes) -> None:
        """Parse. Behind a head with Upgrade the parser stops and leaves the body: it gets the head again without."""
        while data:
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as stop:
                if self.parser.get_method() == b"CONNECT":
                    self._refuse(501)
                    return
                data = self._head_without_upgrade() + data[stop.args[0] :]

    def _head_without_upgrade(self) -> bytes:
        version = self.parser.get_http_version().encode()
        first = b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, version)
        lines = [b"%s: %s" % (name, value) for name, value in self.headers if name != b"upgrade"]
        return b"\r\n".join([first, *lines, b"", b""])

    def _refuse(self, status: int) -> None:
        """Say why and close; where whole requests still wait for their answers, close behind the last of those."""
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        if self.cycle and not self.cycle.response_complete and not self.cycle.more_body:
            self.cycle.keep_alive = False
            return
        text = HTTPStatus(status).phrase.encode()
        page = b"<html><head><title>%d</title></head><body><h1>%s</h1></body></html>\n" % (status, text)
        headers = [(b"content-type", b"text/html"), (b"content-length", b"%d" % len(page)), (b"connection", b"close")]
        lines = [b"%s: %s\r\n" % header for header in (*self.server_state.default_headers, *headers)]
        self.transport.write(b"".join([b"HTTP/1.1 %d %s\r\n" % (status, text), *lines, b"\r\n", page]))
        self.transport.close()

    def on_message_begin(self) -> None:
        self._awaited, self._head_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self._shared, self._head_bytes = True, 0
        super().on_headers_complete()
        self.headers = []  # for trailers, which are no headers: nobody has looked at them when the request begins
        if self.scope["http_version"] == "1.0":  # uvicorn closes whatever such a client asks for
            self.cycle.keep_alive = self.parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        self._shared = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self._awaited, self._shared = False, True
        super().on_message_complete()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        super()._start_asgi_task(cycle, _told(app, cycle) if cycle.scope["http_version"] == "1.0" else app)

    def _look(self) -> None:
        """Close where the client owes bytes, or the room to send it some, for too long."""
        unsent = self.transport.get_write_buffer_size()
        stuck = unsent and unsent == self._unsent
        owing = self._awaited and self.loop.time() - self._progress >= self.idle_seconds
        self._unsent = unsent
        if stuck or owing:
            self.transport.abort()
        else:
            self._watch = self.loop.call_later(self.idle_seconds, self._look)


def _told(app: Any, cycle: Any) -> Any:
    """The application, whose answers say that the connection stays: a client of HTTP/1.0 goes by that."""

    async def telling(scope: Any, receive: Any, send: Any) -> None:
        async def sending(message: Any) -> None:
            headers = message.get("headers", [])
            silent = message["type"] == "http.response.start" and all(name != b"connection" for name, _ in headers)
            kept = [(b"connection", b"keep-alive")] if silent and cycle.keep_alive else []
            await send({**message, "headers": [*headers, *kept]} if kept else message)

        await app(scope, receive, sending)

    return telling


def bind(host: str, port: int, flag: str) -> socket.socket:
    """A TCP socket, not yet listening; port -1: any that is free. Raises InvalidInput that names the flag to change."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With its protocol named: asyncio sets TCP_NODELAY only then, and answers wait 40 ms without.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if host == "::":
        bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    try:
        bound.bind((host, max(port, 0)))
    except OSError as error:
        bound.close()
        flag = "host" if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL else flag
        raise InvalidInput(f"can't listen on {host}:{port}: {error.strerror}. Choose another with --{flag}") from error
    return bound
