"""REST: paths, bodies and codes (TF Serving protocol, sections 2, 4, 6 to 9). Only converts."""

from __future__ import annotations

import json
import logging
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any
from urllib.parse import unquote

from flowformers.errors import FlowformersError, Kind, ServingError
from flowformers.serving import calls
from flowformers.serving.dataplane import Dataplane, Limits, Target
from flowformers.serving.lifecycle import Status
from flowformers.serving.pace import NotShort
from flowformers.wire import json_answer, json_examples, json_form
from flowformers.wire.codes import http_status

log = logging.getLogger("flowformers.serving")
MODEL = r"/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>[0-9]+)|/labels/(?P<label>[^/:]+))?"
PATH = re.compile(MODEL + r"(?::(?P<verb>predict|classify|regress)|(?P<metadata>/metadata))?", re.IGNORECASE)
UNPACKED_LIMIT = 100 * 2**20
Headers = Mapping[bytes, bytes]  # names in lower case, of equal ones the first
JSON = ((b"content-type", b"application/json"),)


@dataclass(frozen=True)
class Request:
    """What a client sent. path: as on the wire, query included: names are decoded after matching."""

    method: str
    path: str
    body: bytes
    headers: Headers

    @property
    def gzip(self) -> bool:
        """Whether the body is packed."""
        return b"gzip" in self.headers.get(b"content-encoding", b"")

    @cached_property
    def parsed(self) -> json_form.JsonRequest:
        """The body as JSON, read once: what is not short is asked for again, by a thread. Raises ServingError."""
        return json_form.parse(unpacked(self))


@dataclass(frozen=True)
class Response:
    """Status, body, and headers beside its length."""

    status: int
    body: bytes
    headers: Sequence[tuple[bytes, bytes]] = JSON


class RestApi:
    """Answers over a dataplane."""

    def __init__(self, dataplane: Dataplane, *, uneven_rows: bool = False) -> None:
        self._dataplane, self._uneven_rows = dataplane, uneven_rows
        self._verbs = {"predict": self._predict, "classify": self._classify, "regress": self._regress}

    def takes(self, path: str) -> bool:
        """Whether a path is this protocol's, which answers wrong ones too."""
        return path.startswith("/v1/")

    def is_open(self, path: str) -> bool:
        """Whether a path needs no API key."""
        return False

    def names(self, path: str) -> tuple[str, str]:
        """The model and the verb, which is "" for status and metadata."""
        found = PATH.fullmatch(path)
        if not found:
            return "", ""
        return unquote(found["name"]), found["verb"] if found["verb"] in self._verbs else ""

    def refuse(self, error: FlowformersError) -> Response:
        """The error in this protocol's form."""
        return error_response(error.kind, str(error))

    def answer(self, request: Request, limits: Limits) -> Response:
        """Every ServingError becomes its code; anything else but NotShort is a mistake of ours."""
        try:
            return Response(200, self._route(request, limits))
        except FlowformersError as error:
            return self.refuse(error)
        except NotShort:
            raise
        except Exception as error:
            return self.refuse(mistake(error))

    def _route(self, request: Request, limits: Limits) -> bytes:
        method, path = request.method, request.path
        found = PATH.fullmatch(path)
        if method == "POST" and found and found["verb"] in self._verbs:
            if limits.hurried and (request.gzip or found["verb"] != "predict"):
                raise NotShort
            return self._verbs[found["verb"]](_target(found), request.parsed, limits)
        if method == "GET" and found and found["metadata"]:
            return self._metadata(_target(found))
        if method == "GET" and found and not found["verb"]:
            return _pretty({"model_version_status": [_status(one) for one in self._dataplane.status(_target(found))]})
        if method == "GET" and path == "/v1/models":
            raise ServingError(Kind.INVALID_ARGUMENT, "Missing model name in request.")
        raise ServingError(Kind.INVALID_ARGUMENT, f"Malformed request: {method} {path}")

    def _predict(self, target: Target, parsed: json_form.JsonRequest, limits: Limits) -> bytes:
        if self._uneven_rows and parsed.rows and len(parts := json_form.parts(parsed)) > 1:
            reads = [partial(json_form.to_inputs, part) for _, part in parts]
            answers = self._dataplane.predict_parts(target, parsed.signature_name, reads, limits=limits)
            rows = [(indices, answer.outputs) for (indices, _), answer in zip(parts, answers, strict=True)]
            return json_answer.joined_predictions(rows)
        read = partial(json_form.to_inputs, parsed)
        answer = self._dataplane.predict_typed(target, parsed.signature_name, read, limits=limits)
        return json_answer.predictions(answer.outputs, rows=parsed.rows)

    def _classify(self, target: Target, parsed: json_form.JsonRequest, limits: Limits) -> bytes:
        examples = json_examples.to_examples(parsed)
        found, _ = self._dataplane.classify(target, parsed.signature_name, examples, limits)
        return json_examples.classifications(found.labels, found.scores)

    def _regress(self, target: Target, parsed: json_form.JsonRequest, limits: Limits) -> bytes:
        examples = json_examples.to_examples(parsed)
        found, _ = self._dataplane.regress(target, parsed.signature_name, examples, limits)
        return json_examples.regressions(found.values)

    def _metadata(self, target: Target) -> bytes:
        version, signatures = self._dataplane.metadata(target)
        spec = {"name": target.name, "signature_name": "", "version": str(version)}
        definitions = {name: _signature(definition) for name, definition in sorted(signatures.items())}
        return _pretty({"model_spec": spec, "metadata": {"signature_def": {"signature_def": definitions}}})


def mistake(error: Exception) -> ServingError:
    """An error that nobody foresaw, as INTERNAL; its traceback goes to the log."""
    log.exception("a REST request failed", exc_info=error)
    return ServingError(Kind.INTERNAL, f"internal error: {type(error).__name__}")


def error_response(kind: Kind, text: str) -> Response:
    """{"error": text} under the kind's HTTP status."""
    calls.ended(kind)
    return Response(http_status(kind), _pretty({"error": text}))


def _target(found: re.Match[str]) -> Target:
    digits = found["version"]
    if digits is not None and (len(digits.lstrip("0")) > 19 or int(digits[-19:]) >= 2**63):
        raise ServingError(Kind.INVALID_ARGUMENT, f"Failed to convert version: {digits} to numeric.")
    version = None if digits is None else int(digits[-19:])
    label = None if found["label"] is None else unquote(found["label"])
    return Target(unquote(found["name"]), version, label)


def unpacked(request: Request) -> bytes:
    """A gzip body unpacked; a broken or larger one is empty, as in TensorFlow Serving (section 3)."""
    if not request.gzip:
        return request.body
    unpacker = zlib.decompressobj(wbits=31)
    try:
        unpacked = unpacker.decompress(request.body, UNPACKED_LIMIT + 1)
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
    for side in ("inputs", "outputs"):  # a protobuf map has no order of its own: each process would print another
        content[side] = dict(sorted(content[side].items()))
        for info in content[side].values():
            info.setdefault("tensor_shape", {"dim": [], "unknown_rank": False})
    return content


def _pretty(content: Any) -> bytes:
    return (json.dumps(content, indent=2) + "\n").encode("utf-8", errors="replace")
