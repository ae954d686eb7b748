"""The Open Inference Protocol ("KServe v2") over the dataplane, on both ports. Only converts.

The protocol knows no signatures: requests run serving_default, or what their parameter `signature_name` says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

import numpy as np

import flowformers
from flowformers.errors import FlowformersError, Kind, ServingError
from flowformers.serving.dataplane import Dataplane, Limits, Target
from flowformers.serving.lifecycle import State
from flowformers.serving.pace import NotShort
from flowformers.serving.rest import Request, Response, mistake, unpacked
from flowformers.wire import open_inference
from flowformers.wire.codes import http_status
from flowformers.wire.json_form import DEFAULT_SIGNATURE
from flowformers.wire.tensors import BFLOAT16, DTYPES

MODEL = re.compile(r"models/(?P<name>[^/]+)(?:/versions/(?P<version>[^/]+))?(?:/(?P<verb>ready|infer))?")
HEADER = b"inference-header-content-length"
BYTES = [(b"content-type", b"application/octet-stream")]
PLATFORM, EXTENSIONS = "tensorflow_savedmodel", ["binary_tensor_data"]


class OpenInference:
    """What the protocol asks for, in its own words but without bytes."""

    def __init__(self, dataplane: Dataplane, ready: Callable[[], bool]) -> None:
        self._dataplane, self.ready = dataplane, ready

    def server(self) -> dict[str, Any]:
        """Name, version and extensions of this server."""
        return {"name": "flowformers", "version": flowformers.__version__, "extensions": EXTENSIONS}

    def model_ready(self, target: Target) -> bool:
        """Whether a version can answer. Raises ServingError NOT_FOUND for a model nobody knows, and for a label whose
        version can't; INVALID_ARGUMENT for a label nobody knows.
        """
        if target.label is not None:  # the status ignores it
            self._dataplane.metadata(target)
        return any(status.state is State.AVAILABLE for status in self._dataplane.status(target))

    def model(self, target: Target) -> dict[str, Any]:
        """The tensors of the default signature, or of the only one."""
        _, signatures = self._dataplane.metadata(target)
        known = {name: one for name, one in signatures.items() if not name.startswith("__")}
        definition = known.get(DEFAULT_SIGNATURE) or (next(iter(known.values())) if len(known) == 1 else None)
        if definition is None:
            raise ServingError(Kind.FAILED_PRECONDITION, f"no {DEFAULT_SIGNATURE} among {', '.join(sorted(known))}")
        versions = [one.version for one in self._dataplane.status(target) if one.state is State.AVAILABLE]
        return {
            "name": target.name,
            "versions": [str(version) for version in sorted(versions)],
            "platform": PLATFORM,
            "inputs": _tensors(definition.inputs),
            "outputs": _tensors(definition.outputs),
        }

    def infer(
        self, target: Target, request: open_inference.InferRequest, limits: Limits
    ) -> tuple[int, Mapping[str, Any]]:
        """The version that answered, and the outputs in the order asked for."""
        answer = self._dataplane.predict(
            target, request.signature_name, request.inputs, output_filter=request.outputs, limits=limits
        )
        return answer.version, {name: answer.outputs[name] for name in request.outputs or answer.outputs}


def target_of(name: str, version: str) -> Target:
    """version: a number, a label, or "" for the highest available."""
    if not version.isascii() or not version.isdigit():
        return Target(name, label=version or None)
    if len(version) > 19 or int(version) >= 2**63:
        raise ServingError(Kind.INVALID_ARGUMENT, f"expected a version below 2**63; got {version[:50]}")
    return Target(name, int(version))


def _tensors(infos: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"name": name, "datatype": _datatype(info.dtype), "shape": [dim.size for dim in info.tensor_shape.dim]}
        for name, info in sorted(infos.items())
    ]


def _datatype(number: int) -> str:
    """The protocol's name, or TensorFlow's for what only the other protocols can carry."""
    if number == BFLOAT16:
        return "BF16"
    if number not in DTYPES:
        return f"DataType {number}"
    name, dtype, _ = DTYPES[number]
    return open_inference.NAMES.get(np.dtype(dtype), name)


class OpenInferenceRest:
    """/v2 and everything below it; errors are {"error": TEXT}."""

    def __init__(self, protocol: OpenInference) -> None:
        self._protocol = protocol

    def takes(self, path: str) -> bool:
        """Everything below /v2."""
        return path == "/v2" or path.startswith("/v2/")

    def is_open(self, path: str) -> bool:
        """Health needs no key: what asks has none."""
        return path.startswith("/v2/health/")

    def names(self, path: str) -> tuple[str, str]:
        """The model, and infer or ""."""
        found = MODEL.fullmatch(_below(path))
        return (unquote(found["name"]), "infer" if found["verb"] == "infer" else "") if found else ("", "")

    def refuse(self, error: FlowformersError) -> Response:
        """The protocol's form of an error."""
        return _json({"error": str(error)}, http_status(error.kind))

    def answer(self, request: Request, limits: Limits) -> Response:
        """One request, whatever it is."""
        try:
            return self._route(request, limits)
        except FlowformersError as error:
            return self.refuse(error)
        except NotShort:
            raise
        except Exception as error:
            return self.refuse(mistake(error))

    def _route(self, request: Request, limits: Limits) -> Response:
        path = _below(request.path)
        found = MODEL.fullmatch(path)
        if found and found["verb"] == "infer" and request.method == "POST":
            if limits.hurried:
                raise NotShort
            return self._infer(target_of(unquote(found["name"]), unquote(found["version"] or "")), request, limits)
        if request.method not in ("GET", "HEAD") or (found and found["verb"] == "infer"):
            return _json({"error": f"{request.method} is not for /v2/{path}"}, 405)
        if found:
            return self._about(target_of(unquote(found["name"]), unquote(found["version"] or "")), found["verb"])
        return self._health(path)

    def _health(self, path: str) -> Response:
        if path == "":
            return _json(self._protocol.server())
        if path == "health/live":
            return _json({"live": True})
        if path == "health/ready":
            ready = self._protocol.ready()
            return _json({"ready": ready}, 200 if ready else 503)
        return _json({"error": f"there is nothing at /v2/{path}"}, 404)

    def _about(self, target: Target, verb: str | None) -> Response:
        if verb is None:
            return _json(self._protocol.model(target))
        ready = self._protocol.model_ready(target)
        return _json({"name": target.name, "ready": ready}, 200 if ready else 503)

    def _infer(self, target: Target, request: Request, limits: Limits) -> Response:
        asked = open_inference.parse(unpacked(request), _length(request))
        version, outputs = self._protocol.infer(target, asked, limits)
        content, length = open_inference.answer(asked, target.name, version, outputs)
        if length is None:
            return Response(200, content)
        return Response(200, content, [*BYTES, (HEADER, str(length).encode())])


def _below(path: str) -> str:
    """The path below /v2, without its query."""
    return path.partition("?")[0].removeprefix("/v2").strip("/")


def _length(request: Request) -> int | None:
    """Where the JSON ends; None where the client says nothing."""
    value = request.headers.get(HEADER)
    if value is None:
        return None
    if not value.isdigit() or len(value) > 18:
        raise ServingError(Kind.INVALID_ARGUMENT, f"expected a length as {HEADER.decode()}; got {value[:50]!r}")
    return int(value)


def _json(content: Any, status: int = 200) -> Response:
    return Response(status, json.dumps(content).encode("utf-8", errors="replace"))


class OpenInferenceGrpc:
    """GRPCInferenceService: the servicer for the gRPC port."""

    def __init__(self, protocol: OpenInference, answer: Callable[..., Any]) -> None:
        """answer(api, model, work, request, context): count the call under both names and run work(request, limits);
        a ServingError becomes its code.
        """
        self._protocol, self._run = protocol, answer

    async def ServerLive(self, request: Any, context: Any) -> Any:
        return open_inference.MESSAGES["ServerLiveResponse"](live=True)

    async def ServerReady(self, request: Any, context: Any) -> Any:
        return open_inference.MESSAGES["ServerReadyResponse"](ready=self._protocol.ready())

    async def ServerMetadata(self, request: Any, context: Any) -> Any:
        return open_inference.MESSAGES["ServerMetadataResponse"](**self._protocol.server())

    async def ModelReady(self, request: Any, context: Any) -> Any:
        return await self._run("ModelReady", _named(request, "name"), self._model_ready, request, context)

    async def ModelMetadata(self, request: Any, context: Any) -> Any:
        return await self._run("ModelMetadata", _named(request, "name"), self._model_metadata, request, context)

    async def ModelInfer(self, request: Any, context: Any) -> Any:
        return await self._run("ModelInfer", _named(request, "model_name"), self._model_infer, request, context)

    def _model_ready(self, request: Any, _: Limits) -> Any:
        try:
            ready = self._protocol.model_ready(target_of(request.name, request.version))
        except ServingError as error:
            if error.kind is not Kind.NOT_FOUND:  # clients ask this of models that they only hope for
                raise
            ready = False
        return open_inference.MESSAGES["ModelReadyResponse"](ready=ready)

    def _model_metadata(self, request: Any, _: Limits) -> Any:
        about = self._protocol.model(target_of(request.name, request.version))
        return open_inference.MESSAGES["ModelMetadataResponse"](**about)

    def _model_infer(self, request: Any, limits: Limits) -> Any:
        target = target_of(request.model_name, request.model_version)
        asked = open_inference.from_message(request)
        version, outputs = self._protocol.infer(target, asked, limits)
        return open_inference.to_message(asked, target.name, version, outputs)


def _named(request: Any, field: str) -> str:
    """The model in a field of a message; "" for broken bytes, which are none."""
    return str(getattr(request, field, ""))
