"""uvicorn with limits on what a connection may do before its request is whole.

uvicorn has no hook for that, so its protocol is subclassed. Relied on, and held by a test: the callbacks of asyncio and
of httptools (on_message_begin, on_headers_complete, on_message_complete) are its methods; `loop` and `transport` are
attributes; Config takes the class as `http`; Server installs its signal handlers in capture_signals.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from flowformers.errors import InvalidInput
from flowformers.serving.security import http_context, read_tls
from flowformers.serving.settings import Settings

TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
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


class GuardedProtocol(HttpToolsProtocol):
    """Closes a connection with endless headers, and one whose client neither ends its request nor takes its answer."""

    max_header_bytes: int
    idle_seconds: int

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head_bytes, self._in_head, self._awaited = 0, True, True
        self._progress, self._unsent = self.loop.time(), 0
        self._watch = self.loop.call_later(self.idle_seconds, self._look) if self.idle_seconds else None

    def connection_lost(self, exc: Exception | None) -> None:
        if self._watch is not None:
            self._watch.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._progress = self.loop.time()
        super().data_received(data)
        if self._in_head and self.max_header_bytes:
            self._head_bytes += len(data)
            if self._head_bytes > self.max_header_bytes and not self.transport.is_closing():
                self.transport.write(TOO_LARGE)
                self.transport.close()

    def on_message_begin(self) -> None:
        self._in_head = self._awaited = True
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._awaited = False
        super().on_message_complete()

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
        raise InvalidInput(f"can't listen on {host}:{port}: {error.strerror}. Choose another with --{flag}") from error
    return bound
