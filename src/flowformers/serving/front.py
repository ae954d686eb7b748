"""The HTTP front door: an ASGI application in front of the REST APIs (TF Serving protocol, sections 2 and 3)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse
from starlette.routing import Route

from flowformers.errors import FlowformersError, Kind, ServingError
from flowformers.serving import calls
from flowformers.serving.calls import Call
from flowformers.serving.execution import INLINE_BYTES, Execution
from flowformers.serving.pace import NotShort, patience
from flowformers.serving.rest import Headers, Request, Response, deadline_in
from flowformers.serving.security import NO_KEY, ApiKeys
from flowformers.serving.settings import Settings
from flowformers.wire.codes import kind_of_http

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"})
CORS: Headers = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"POST, GET"),
    (b"access-control-allow-headers", b"Content-Type"),
]
HTML: Headers = [(b"content-type", b"text/html"), (b"connection", b"close")]
RETRY: Headers = [(b"retry-after", b"1")]


class Refusal(Exception):
    """A request that ends before the API: its status and what is said."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


class Api(Protocol):
    """A protocol's paths and forms."""

    def takes(self, path: str) -> bool:
        """Whether a path is this protocol's, which answers wrong ones too."""

    def is_open(self, path: str) -> bool:
        """Whether a path needs no API key."""

    def names(self, path: str) -> tuple[str, str]:
        """The model and the API that a path asks for, as they are counted; "" where it names none."""

    def refuse(self, error: FlowformersError) -> Response:
        """The error in this protocol's form."""

    def short(self, request: Request) -> bool:
        """Whether the event loop may try to answer."""

    def answer(self, request: Request) -> Response:
        """Whatever the request is. Raises NotShort where its cpu_seconds are not sure to do."""


class Front:
    """Each path is the first API's that takes it; other routes may be added."""

    def __init__(
        self,
        apis: Sequence[Api],
        execution: Execution,
        settings: Settings,
        keys: ApiKeys,
        routes: Sequence[Route] = (),
    ) -> None:
        self._apis, self._execution, self._settings, self._keys = apis, execution, settings, keys
        self._cors = CORS if settings.rest_api_enable_cors_support else []
        self._others = Starlette(routes=routes, exception_handlers={HTTPException: _not_found})
        self._taken = {route.path for route in routes}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """ASGI."""
        try:
            _check_head(scope, self._settings.max_header_bytes)
            api = self._api(scope["path"])
            if api is None:
                await self._others(scope, receive, send)
            elif scope["method"] == "OPTIONS":
                known = b"http" in _header(scope, b"origin")
                await _send(send, 200 if known else 400, b"", self._cors)
            else:
                await self._answer(api, scope, receive, send)
        except Refusal as error:
            await _send(send, error.status, _page(error.status, error.text).encode(), HTML)

    def _api(self, path: str) -> Api | None:
        return None if path in self._taken else next((api for api in self._apis if api.takes(path)), None)

    async def _answer(self, api: Api, scope: Any, receive: Any, send: Any) -> None:
        model, name = api.names(_raw_path(scope))
        call = Call("REST", name, model, calls.request_id(_header(scope, b"x-request-id").decode("latin-1")))
        with self._execution.request(), calls.observed(call, _Headers(scope)):
            response = await self._response(api, scope, receive)
            if response is None:
                calls.ended(Kind.CANCELLED)
                return
            if call.kind is Kind.OK:
                calls.ended(kind_of_http(response.status) if response.status >= 400 else Kind.OK)
        told = [(b"x-request-id", call.request_id.encode()), (b"server-timing", call.server_timing().encode())]
        headers = [*response.headers, *self._cors, *(RETRY if response.status in (429, 503) else ()), *told]
        await _send(send, response.status, b"" if scope["method"] == "HEAD" else response.body, headers)

    async def _response(self, api: Api, scope: Any, receive: Any) -> Response | None:
        """None where the client has gone."""
        if self._keys and not (api.is_open(scope["path"]) or self._has_key(scope)):
            return api.refuse(ServingError(Kind.UNAUTHENTICATED, NO_KEY))
        body = await _read(scope, receive, self._settings.max_request_body_bytes)
        if body is None:
            return None
        deadline = deadline_in(self._settings.rest_api_timeout_in_ms)
        gzip = b"gzip" in _header(scope, b"content-encoding")
        request = Request(scope["method"], _raw_path(scope), body, gzip, deadline, scope["headers"])
        if len(body) <= INLINE_BYTES:
            here = replace(request, cpu_seconds=patience(alone=await self._execution.alone()))
            with suppress(NotShort):
                if api.short(here):
                    return api.answer(here)
        return await self._in_thread(api, request, receive)

    def _has_key(self, scope: Any) -> bool:
        return self._keys.allow(_header(scope, b"authorization"), _header(scope, b"x-api-key"))

    async def _in_thread(self, api: Api, request: Request, receive: Any) -> Response | None:
        """The answer of another thread; a request whose client goes while it waits is not run."""
        answer = asyncio.ensure_future(self._execution.run(partial(api.answer, request)))
        gone = asyncio.ensure_future(receive())
        await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
        gone.cancel()
        if not answer.done():
            answer.cancel()
            return None
        try:
            return answer.result()
        except ServingError as error:  # the queue is full
            return api.refuse(error)


class _Headers(Mapping[str, str]):
    """A request's headers as text, for whoever wants to read one."""

    def __init__(self, scope: Any) -> None:
        self._found = scope["headers"]

    def __getitem__(self, name: str) -> str:
        wanted = name.lower().encode("latin-1", errors="replace")
        for key, value in self._found:
            if key == wanted:
                return str(value, "latin-1")
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return (str(key, "latin-1") for key, _ in self._found)

    def __len__(self) -> int:
        return len(self._found)


def _header(scope: Any, name: bytes) -> bytes:
    value: bytes
    for key, value in scope["headers"]:
        if key == name:
            return value
    return b""


def _check_head(scope: Any, limit: int) -> None:
    """Raises Refusal for methods and heads that the API never sees."""
    if scope["method"] not in METHODS:
        raise Refusal(501, "Not Implemented")
    size = (
        len(scope["path"]) + len(scope["query_string"]) + sum(len(key) + len(value) for key, value in scope["headers"])
    )
    if limit and size > limit:
        raise Refusal(431, "Request Header Fields Too Large")
    if _header(scope, b"expect").lower() not in (b"", b"100-continue"):
        raise Refusal(417, "Expectation Failed")


async def _read(scope: Any, receive: Any, limit: int) -> bytes | None:
    """The whole body; None where the client has gone. Raises Refusal for one above the limit."""
    length = _header(scope, b"content-length")
    if limit and length.isdigit() and int(length) > limit:
        raise Refusal(413, f"Content Too Large: {limit} bytes is the limit (--max_request_body_bytes)")
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        part = message.get("body", b"")
        parts.append(part)
        size, more = size + len(part), message.get("more_body", False)
        if limit and size > limit:
            raise Refusal(413, f"Content Too Large: {limit} bytes is the limit (--max_request_body_bytes)")
    return b"".join(parts)


def _raw_path(scope: Any) -> str:
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    query: bytes = scope.get("query_string") or b""
    return (raw + (b"?" + query if query else b"")).decode("latin-1")


async def _send(send: Any, status: int, body: bytes, headers: Headers) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [length, *headers]})
    await send({"type": "http.response.body", "body": body})


async def _not_found(request: Any, error: Any) -> HTMLResponse:
    return HTMLResponse(_page(error.status_code, error.detail), error.status_code, {"connection": "close"})


def _page(status: int, text: str) -> str:
    return f"<html><head><title>{status}</title></head><body><h1>{text}</h1></body></html>\n"
