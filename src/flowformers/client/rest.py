"""REST: calls -> HTTP requests in the column form, and answers back (TF Serving protocol, sections 2 to 9)."""

from __future__ import annotations

import asyncio
import base64
import json
import math
import reprlib
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

import httpx2
import numpy as np

from flowformers.client.arrays import BFLOAT16, Misfit, as_text, natural
from flowformers.client.calls import (
    STRING,
    Call,
    Metadata,
    MetadataCall,
    Outputs,
    PredictCall,
    Signature,
    StatusCall,
    Target,
    TensorInfo,
    VersionStatus,
)
from flowformers.client.connection import Connection
from flowformers.client.retry import Deadline
from flowformers.errors import InvalidInput, Kind, ServingError
from flowformers.types import Array
from flowformers.wire.codes import kind_of_http
from flowformers.wire.tensors import DTYPES

IN_JSON = {"f4", "f8", "i1", "i2", "i4", "i8", "u1", "u4", "u8", "b1"}
NAMES = {name: STRING if dtype == "O" else np.dtype(dtype).name for name, dtype, _ in DTYPES.values()}
NAMES["DT_BFLOAT16"] = BFLOAT16
# The kinds of numbers, as NumPy reads them, that stand for a dtype of a kind. "2" may be a float whose ".0" a proxy has
# dropped; "2.0" is no integer.
WRITTEN = {"b": "b", "i": "iu", "u": "iu", "f": "iuf"}
ERROR_TEXT = 500
WRITTEN_AT_ONCE = 64 * 2**10  # bytes, between two looks at the clock


class Unsendable(InvalidInput, ServingError):
    """An input without a JSON form. It is a ServingError too because those are what the steps hear of: new metadata may
    declare another dtype.
    """

    def __init__(self, text: str) -> None:
        super().__init__(Kind.INVALID_ARGUMENT, f"{text} has no JSON form; use a grpc:// address")


class RestTransport:
    """One pool of connections; may be used by many threads."""

    def __init__(self, connection: Connection) -> None:
        self._http = httpx2.Client(**_options(connection))
        self._asking = threading.local()  # its deadline: a connection is used by one thread at a time

    def send(self, call: Call, timeout: float | None) -> Any:
        """Ask once. timeout: seconds for the whole exchange. Raises ServingError."""
        self._asking.deadline = Deadline(timeout)
        with _failures(timeout):
            response = self._http.request(**_request(call), timeout=timeout, extensions={"trace": self._trace})
        return _result(call, response)

    def _trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Hold each new connection to the deadline of whoever uses it.

        httpx's own timeouts are for one operation on the socket: a server that sends byte by byte would meet them all.
        """
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            _limit(info["return_value"], self._left)

    def _left(self) -> float | None:
        left: float | None = self._asking.deadline.left()
        if left == 0:
            raise TimeoutError
        return left

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


def _limit(stream: Any, left: Callable[[], float | None]) -> None:
    """Give every operation of httpx's network stream the seconds that are left, instead of its own timeout."""
    read, write, start_tls = stream.read, stream.write, stream.start_tls

    def limited_write(buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), WRITTEN_AT_ONCE):
            write(buffer[start : start + WRITTEN_AT_ONCE], left())

    stream.read = lambda max_bytes, timeout=None: read(max_bytes, left())
    stream.write = limited_write
    stream.start_tls = lambda **given: start_tls(**given | {"timeout": left()})


class AsyncRestTransport:
    """One pool of connections, of one event loop."""

    def __init__(self, connection: Connection) -> None:
        self._http = httpx2.AsyncClient(**_options(connection))

    async def send(self, call: Call, timeout: float | None) -> Any:
        """Ask once. Raises ServingError."""
        if self._http.is_closed:  # perhaps by another task, between two tries of this one
            raise ServingError(Kind.CANCELLED, "the client is closed")
        with _failures(timeout):
            async with asyncio.timeout(timeout):
                response = await self._http.request(**_request(call), timeout=None)
        return _result(call, response)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()


def _options(connection: Connection) -> dict[str, Any]:
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=100)
    verify: Any = _ssl_context(connection) if connection.secure else True
    return {"base_url": connection.base_url, "headers": connection.all_headers, "limits": limits, "verify": verify}


def _ssl_context(connection: Connection) -> ssl.SSLContext:
    tls = connection.tls
    context = ssl.create_default_context(cafile=None if tls is None or tls.ca is None else str(tls.ca))
    if tls is not None and tls.certificate is not None:
        context.load_cert_chain(str(tls.certificate), str(tls.key))
    return context


@contextmanager
def _failures(timeout: float | None) -> Iterator[None]:
    """What the network does, as kinds."""
    try:
        yield
    except (httpx2.TimeoutException, TimeoutError) as error:
        raise ServingError(Kind.DEADLINE_EXCEEDED, f"no answer within {timeout} s") from error
    except httpx2.TransportError as error:
        raise ServingError(Kind.UNAVAILABLE, f"the server can't be reached: {error or type(error).__name__}") from error
    except httpx2.DecodingError as error:
        text = f"{error.request.url} answers in an encoding that can't be undone (a proxy between?): {error}"
        raise ServingError(Kind.UNKNOWN, text) from error


def _request(call: Call) -> dict[str, Any]:
    if isinstance(call, PredictCall):
        content = predict_body(call.signature, call.inputs)
        headers = {"content-type": "application/json"}
        return {"method": "POST", "url": f"{_path(call.target)}:predict", "content": content, "headers": headers}
    metadata = "/metadata" if isinstance(call, MetadataCall) else ""
    return {"method": "GET", "url": _path(call.target) + metadata}


def _path(target: Target) -> str:
    which = f"/versions/{target.version}" if target.version is not None else ""
    which = f"/labels/{quote(target.label, safe='')}" if target.label is not None else which
    return f"/v1/models/{quote(target.name, safe='')}{which}"


def predict_body(signature: str, inputs: Mapping[str, Array]) -> bytes:
    """The column form. Raises InvalidInput for dtypes without a JSON form."""
    columns = {name: _json(array, name) for name, array in inputs.items()}
    return json.dumps({"signature_name": signature, "inputs": columns}, separators=(",", ":")).encode()


def _json(array: Array, name: str) -> Any:
    if 0 in array.shape[:-1]:
        raise Unsendable(f"{name}: the shape {list(array.shape)}")
    if array.dtype == object:
        flat = np.empty(array.size, object)
        flat[:] = [_json_string(value) for value in array.reshape(-1)]
        return flat.reshape(array.shape).tolist()
    if array.dtype.str[1:] not in IN_JSON:
        raise Unsendable(f"{name}: {array.dtype}")
    return array.tolist()


def _json_string(value: bytes) -> Any:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(value).decode()}


def _result(call: Call, response: httpx2.Response) -> Any:
    if response.status_code != 200:
        raise _error(response)
    try:
        document = json.loads(response.content.decode("utf-8", errors="surrogateescape"))
        if isinstance(call, PredictCall):
            return _outputs(call, document["outputs"])
        if isinstance(call, StatusCall):
            return [_status(one) for one in document["model_version_status"]]
        return _metadata(document)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        text = f"{response.url} does not answer as TensorFlow Serving does: {type(error).__name__}: {error}"
        raise ServingError(Kind.UNKNOWN, text) from error


def _error(response: httpx2.Response) -> ServingError:
    """TensorFlow Serving's error; the body's beginning where something in between answered."""
    try:
        text = response.json()["error"]
    except (ValueError, LookupError, TypeError, RecursionError):
        text = response.text[:ERROR_TEXT] or response.reason_phrase
    kind, after = kind_of_http(response.status_code), retry_after(response.headers.get("retry-after"))
    return ServingError(kind, f"{text} (HTTP {response.status_code})", retry_after=after)


def retry_after(value: str | None) -> float | None:
    """Seconds of a Retry-After header, which holds seconds or a date; None for none or another thing."""
    if value is None:
        return None
    try:
        seconds = float(value)
        return max(0.0, seconds) if math.isfinite(seconds) else None
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def _outputs(call: PredictCall, content: Any) -> Outputs:
    """Every output is in the answer; one alone comes without its name. Raises Misfit."""
    known = call.known.outputs
    named = {next(iter(known)): content} if len(known) == 1 else content
    if not isinstance(named, dict) or set(named) != set(known):
        came = f"the outputs {', '.join(sorted(named))}" if isinstance(named, dict) else "one output"
        raise Misfit(f"expected the outputs {', '.join(known)}; got {came}")
    return {name: _array(named[name], known[name], name) for name in call.outputs or known}


def _array(value: Any, info: TensorInfo, name: str) -> Array:
    try:
        array = _strings(value) if info.dtype == STRING else _numbers(value, np.dtype(info.dtype))
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        raise Misfit(f"{name}: expected {info}; got {reprlib.repr(value)}: {error}") from error
    return as_text(_shaped(array, info), name)


def _strings(value: Any) -> Array:
    array = np.array(value, dtype=object)
    flat = np.empty(array.size, object)
    flat[:] = [_bytes(one) for one in array.reshape(-1)]
    return flat.reshape(array.shape)


def _numbers(value: Any, wanted: np.dtype[Any]) -> Array:
    """Raises ValueError or ArithmeticError for numbers of another dtype: NumPy alone would make 1 of 1.5 and of "1"."""
    array = natural(value, wanted)
    if array.size and array.dtype.kind not in WRITTEN[wanted.kind]:
        raise ValueError(f"{array.dtype} is not {wanted}")
    with np.errstate(over="raise"):
        cast = array.astype(wanted)
    if array.dtype.kind in "iu" and not _same(cast, array):
        raise OverflowError(f"values from {array.min()} to {array.max()} do not fit {wanted}")
    return cast


def _same(cast: Array, array: Array) -> bool:
    """Compared as whole numbers: as a float, 2**53 + 1 equals 2**53."""
    with np.errstate(invalid="ignore"):
        return np.array_equal(cast.astype(array.dtype) if cast.dtype.kind == "f" else cast, array)


def _bytes(value: Any) -> bytes:
    if isinstance(value, dict):
        return base64.b64decode(value["b64"], validate=True)
    encoded: bytes = value.encode("utf-8", errors="surrogateescape")
    return encoded


def _shaped(array: Array, info: TensorInfo) -> Array:
    """JSON has no [0, 3]: the sizes behind an empty axis come from the signature."""
    if array.size or info.shape is None or array.ndim >= len(info.shape):
        return array
    return array.reshape(array.shape + tuple(size or 0 for size in info.shape[array.ndim :]))


def _status(one: Mapping[str, Any]) -> VersionStatus:
    said = one["status"]
    return VersionStatus(int(one["version"]), one["state"], Kind[said["error_code"]], said["error_message"])


def _metadata(document: Mapping[str, Any]) -> Metadata:
    definitions = document["metadata"]["signature_def"]["signature_def"]
    signatures = {
        name: Signature(_tensors(definition["inputs"]), _tensors(definition["outputs"]))
        for name, definition in sorted(definitions.items())
        if not name.startswith("__saved_model_")
    }
    return Metadata(int(document["model_spec"]["version"]), signatures)


def _tensors(content: Mapping[str, Any]) -> dict[str, TensorInfo]:
    infos = sorted(content.items())
    return {name: TensorInfo(NAMES.get(info["dtype"], info["dtype"]), _shape(info)) for name, info in infos}


def _shape(info: Mapping[str, Any]) -> tuple[int | None, ...] | None:
    shape = info["tensor_shape"]
    if shape["unknown_rank"]:
        return None
    sizes = [int(dim["size"]) for dim in shape["dim"]]
    return tuple(None if size < 0 else size for size in sizes)
