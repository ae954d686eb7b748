"""The HTTP front door: an ASGI application in front of the REST APIs (TF Serving protocol, sections 2 and 3)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain
from typing import Any, Protocol

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse
from starlette.routing import Route

from flowformers.errors import FlowformersError, Kind, ServingError
from flowformers.serving import calls
from flowformers.serving.calls import Call
from flowformers.serving.dataplane import Limits
from flowformers.serving.execution import INLINE_BYTES, Execution
from flowformers.serving.pace import NotShort, patience
from flowformers.serving.rest import Headers, Request, Response
from flowformers.serving.security import NO_KEY, ApiKeys
from flowformers.serving.settings import Settings
from flowformers.wire.codes import kind_of_http

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"})
HTML = [(b"content-type", b"text/html"), (b"connection", b"close")]
RETRY = [(b"retry-after", b"1")]


class Refusal(Exception):
    """A request that ends before the API: its status and what is said."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


Refuse = Callable[[FlowformersError], Response]


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

    def answer(self, request: Request, limits: Limits) -> Response:
        """Whatever the request is. Raises NotShort where the cpu_seconds are not sure to do."""


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
        self._cors = _cors(keys) if settings.rest_api_enable_cors_support else []
        self._others = Starlette(routes=routes, exception_handlers={HTTPException: _not_found})
        self._taken = {route.path for route in routes}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """ASGI."""
        try:
            headers = dict(reversed(scope["headers"]))  # of equal names the first
            _check_head(scope, headers, self._settings.max_header_bytes)
            api = self._api(scope["path"])
            if api is None:
                await self._others(scope, receive, send)
            elif scope["method"] == "OPTIONS":
                known = b"http" in headers.get(b"origin", b"")
                await _send(send, 200 if known else 400, b"", self._cors)
            else:
                await self._answer(api, scope, headers, receive, send)
        except Refusal as error:
            await _send(send, error.status, _page(error.status, error.text).encode(), HTML)

    def _api(self, path: str) -> Api | None:
        return None if path in self._taken else next((api for api in self._apis if api.takes(path)), None)

    async def _answer(self, api: Api, scope: Any, headers: Headers, receive: Any, send: Any) -> None:
        path = _raw_path(scope)
        model, name = api.names(path)
        call = Call("REST", name, model, calls.request_id(headers.get(b"x-request-id", b"").decode("latin-1")))
        with self._execution.request, calls.observed(call, _Texts(headers)):
            refusal = self._refusal(api, scope, headers)
            response = refusal or await self._response(api, scope["method"], path, headers, receive)
            if response is None:
                calls.ended(Kind.CANCELLED)
                return
            if call.kind is Kind.OK and response.status >= 400:
                calls.ended(kind_of_http(response.status))
        told = ((b"x-request-id", call.request_id.encode()), (b"server-timing", call.server_timing().encode()))
        again = RETRY if response.status in (429, 503) else ()
        body = b"" if scope["method"] == "HEAD" else response.body
        await _send(send, response.status, body, (*response.headers, *self._cors, *again, *told))

    def _refusal(self, api: Api, scope: Any, headers: Headers) -> Response | None:
        """For a request without a key, where it needs one."""
        if not self._keys or api.is_open(scope["path"]):
            return None
        if self._keys.allow(headers.get(b"authorization", b""), headers.get(b"x-api-key", b"")):
            return None
        return api.refuse(ServingError(Kind.UNAUTHENTICATED, NO_KEY))

    async def _response(self, api: Api, method: str, path: str, headers: Headers, receive: Any) -> Response | None:
        """None where the client has gone."""
        try:
            body = await _read(headers, receive, self._settings.max_request_body_bytes)
        except Refusal as refusal:
            calls.ended(kind_of_http(refusal.status))
            raise
        if body is None:
            return None
        request, deadline = Request(method, path, body, headers), _deadline_in(self._settings.rest_api_timeout_in_ms)
        if len(body) <= INLINE_BYTES:
            with suppress(NotShort):
                return api.answer(request, Limits(deadline, patience(alone=await self._execution.alone())))
        return await self._in_thread(partial(api.answer, request, Limits(deadline)), api.refuse, receive)

    async def _in_thread(self, work: Callable[[], Response], refuse: Refuse, receive: Any) -> Response | None:
        """The answer of another thread; a request whose client goes while it waits is not run."""
        answer = asyncio.ensure_future(self._execution.run(work))
        gone = asyncio.ensure_future(receive())
        await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
        gone.cancel()
        if not answer.done():
            answer.cancel()
            return None
        try:
            return answer.result()
        except ServingError as error:  # the queue is full
            return refuse(error)


class _Texts(Mapping[str, str]):
    """A request's headers as text, for whoever wants to read one."""

    def __init__(self, headers: Headers) -> None:
        self._headers = headers

    def __getitem__(self, name: str) -> str:
        return self._headers[name.lower().encode("latin-1", errors="replace")].decode("latin-1")

    def __iter__(self) -> Iterator[str]:
        return (name.decode("latin-1") for name in self._headers)

    def __len__(self) -> int:
        return len(self._headers)


def _cors(keys: ApiKeys) -> list[tuple[bytes, bytes]]:
    """TensorFlow Serving's (section 3); a page sends a key only where its header is allowed."""
    return [
        (b"access-control-allow-origin", b"*"),
        (b"access-control-allow-methods", b"POST, GET"),
        (b"access-control-allow-headers", b"Content-Type" + (b", Authorization, X-Api-Key" if keys else b"")),
    ]


def _deadline_in(milliseconds: int) -> float | None:
    """A time on time.monotonic's clock; None for 0, which is no limit to TensorFlow's run either."""
    return time.monotonic() + milliseconds / 1000 if milliseconds else None


def _check_head(scope: Any, headers: Headers, limit: int) -> None:
    """Raises Refusal for methods and heads that the API never sees."""
    if scope["method"] not in METHODS:
        raise Refusal(501, "Not Implemented")
    size = len(scope["path"]) + len(scope["query_string"]) + sum(map(len, chain.from_iterable(scope["headers"])))
    if limit and size > limit:
        raise Refusal(431, "Request Header Fields Too Large")
    if headers.get(b"expect", b"").lower() not in (b"", b"100-continue"):
        raise Refusal(417, "Expectation Failed")


async def _read(headers: Headers, receive: Any, limit: int) -> bytes | None:
    """The whole body; None where the client has gone. Raises Refusal for one above the limit."""
    length = headers.get(b"content-length", b"")
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


async def _send(send: Any, status: int, body: bytes, headers: Iterable[tuple[bytes, bytes]]) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [length, *headers]})
    await send({"type": "http.response.body", "body": body})


async def _not_found(request: Any, error: Any) -> HTMLResponse:
    return HTMLResponse(_page(error.status_code, error.detail), error.status_code, {"connection": "close"})


def _page(status: int, text: str) -> str:
    return f"<html><head><title>{status}</title></head><body><h1>{text}</h1></body></html>\n"
