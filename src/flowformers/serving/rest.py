"""REST: paths, bodies and codes (TF Serving protocol, sections 2, 4, 6, 8, 9). Only converts."""

from __future__ import annotations

import asyncio
import json
import re
import zlib
from concurrent.futures import Executor
from typing import Any
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from flowformers.errors import Kind, ServingError
from flowformers.serving.dataplane import Dataplane, Target
from flowformers.serving.lifecycle import Status
from flowformers.wire import json_form
from flowformers.wire.codes import http_status

MODEL = r"/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
PREDICT = re.compile(MODEL + r":(?P<verb>predict|classify|regress)", re.IGNORECASE)
METADATA = re.compile(MODEL + r"/metadata", re.IGNORECASE)
STATUS = re.compile(MODEL, re.IGNORECASE)
METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"]
UNPACKED_LIMIT = 100 * 2**20
CORS = {
    "access-control-allow-origin": "*",
    "access-control-allow-methods": "POST, GET",
    "access-control-allow-headers": "Content-Type",
}


class RestApi:
    """Handlers over a dataplane; work runs in the executor so that the event loop only moves bytes."""

    def __init__(self, dataplane: Dataplane, executor: Executor, *, cors: bool) -> None:
        self._dataplane, self._executor = dataplane, executor
        self._headers = CORS if cors else {}

    def app(self) -> Starlette:
        """The ASGI application. Everything below /v1 comes here: TensorFlow Serving answers wrong paths in JSON too."""
        return Starlette(routes=[Route("/v1/{path:path}", self.handle, methods=METHODS)])

    async def handle(self, request: Request) -> Response:
        """One request, whatever it is."""
        if request.method == "OPTIONS":
            known = "http" in request.headers.get("origin", "")
            return Response(status_code=200 if known else 400, headers=self._headers)
        body = await request.body()
        loop = asyncio.get_running_loop()
        status, content = await loop.run_in_executor(self._executor, self.answer, request, body)
        if request.method == "HEAD":
            content = b""
        return Response(content, status, media_type="application/json", headers=self._headers)

    def answer(self, request: Request, body: bytes) -> tuple[int, bytes]:
        """Status and JSON body; every ServingError becomes its code."""
        try:
            return 200, self._route(request, body)
        except ServingError as error:
            return http_status(error.kind), _pretty({"error": str(error)})

    def _route(self, request: Request, body: bytes) -> bytes:
        path = _raw_path(request)
        if request.method == "POST" and (found := PREDICT.fullmatch(path)):
            return self._infer(found, _unpacked(request, body), path)
        if request.method == "GET" and (found := METADATA.fullmatch(path)):
            return self._metadata(_target(found))
        if request.method == "GET" and (found := STATUS.fullmatch(path)):
            return _pretty({"model_version_status": [_status(one) for one in self._dataplane.status(_target(found))]})
        if request.method == "GET" and path == "/v1/models":
            raise ServingError(Kind.INVALID_ARGUMENT, "Missing model name in request.")
        raise ServingError(Kind.INVALID_ARGUMENT, f"Malformed request: {request.method} {path}")

    def _infer(self, found: re.Match[str], body: bytes, path: str) -> bytes:
        if found["verb"] != "predict":
            if found["verb"] in ("classify", "regress"):
                raise ServingError(Kind.UNIMPLEMENTED, f":{found['verb']} is not served yet; use :predict")
            raise ServingError(Kind.INVALID_ARGUMENT, f"Malformed request: POST {path}")
        target, parsed = _target(found), json_form.parse(body)
        inputs = json_form.to_inputs(parsed, self._dataplane.dtypes(target, parsed.signature_name))
        answer = self._dataplane.predict(target, parsed.signature_name, inputs)
        return json_form.predictions(answer.outputs, rows=parsed.rows)

    def _metadata(self, target: Target) -> bytes:
        version, signatures = self._dataplane.metadata(target)
        spec = {"name": target.name, "signature_name": "", "version": str(version)}
        definitions = {name: _signature(definition) for name, definition in signatures.items()}
        return _pretty({"model_spec": spec, "metadata": {"signature_def": {"signature_def": definitions}}})


def _raw_path(request: Request) -> str:
    """The path as it was sent, query included: names are decoded after matching."""
    raw: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
    query = request.scope.get("query_string") or b""
    return (raw + (b"?" + query if query else b"")).decode("latin-1")


def _target(found: re.Match[str]) -> Target:
    digits = found["version"]
    if digits is not None and (len(digits.lstrip("0")) > 19 or int(digits[-19:]) >= 2**63):
        raise ServingError(Kind.INVALID_ARGUMENT, f"Failed to convert version: {digits} to numeric.")
    version = None if digits is None else int(digits[-19:])
    label = None if found["label"] is None else unquote(found["label"])
    return Target(unquote(found["name"]), version, label)


def _unpacked(request: Request, body: bytes) -> bytes:
    """A gzip body unpacked; a broken or larger one is empty, as in TensorFlow Serving (section 3)."""
    if "gzip" not in request.headers.get("content-encoding", ""):
        return body
    unpacker = zlib.decompressobj(wbits=31)
    try:
        unpacked = unpacker.decompress(body, UNPACKED_LIMIT + 1)
    except zlib.error:
        return b""
    return unpacked if unpacker.eof and len(unpacked) <= UNPACKED_LIMIT else b""


def _status(status: Status) -> dict[str, Any]:
    return {
        "version": str(status.version),
        "state": status.state.name,
        "status": {"error_code": status.kind.name, "error_message": status.message},
    }


def _signature(definition: Any) -> dict[str, Any]:
    """A SignatureDef as protobuf's JSON form prints it with default values and proto names."""
    from google.protobuf.json_format import MessageToDict

    content: dict[str, Any] = MessageToDict(
        definition, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    for info in (*content["inputs"].values(), *content["outputs"].values()):
        info.setdefault("tensor_shape", {"dim": [], "unknown_rank": False})
    return content


def _pretty(content: Any) -> bytes:
    return (json.dumps(content, indent=2) + "\n").encode("utf-8", errors="replace")
