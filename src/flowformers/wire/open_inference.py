"""Open Inference Protocol ("KServe v2"): its tensors as JSON, as bytes behind the JSON, and as messages."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from flowformers.errors import Kind, ServingError
from flowformers.types import Array
from flowformers.wire import json_form
from flowformers.wire.descriptors import private_messages, private_service
from flowformers.wire.documents import load_object
from flowformers.wire.json_values import bad
from flowformers.wire.tensors import bfloat16

PROTO = "open_inference/grpc_service.proto"
MESSAGES = private_messages(PROTO)
SERVICE = private_service(PROTO, "inference.GRPCInferenceService")

# Datatype: (NumPy dtype, the field of InferTensorContents; None where only bytes will do)
DATATYPES: dict[str, tuple[str, str | None]] = {
    "BOOL": ("?", "bool_contents"),
    "UINT8": ("u1", "uint_contents"),
    "UINT16": ("<u2", "uint_contents"),
    "UINT32": ("<u4", "uint_contents"),
    "UINT64": ("<u8", "uint64_contents"),
    "INT8": ("i1", "int_contents"),
    "INT16": ("<i2", "int_contents"),
    "INT32": ("<i4", "int_contents"),
    "INT64": ("<i8", "int64_contents"),
    "FP16": ("<f2", None),
    "BF16": ("bfloat16", None),
    "FP32": ("<f4", "fp32_contents"),
    "FP64": ("<f8", "fp64_contents"),
    "BYTES": ("O", "bytes_contents"),
}
# NumPy knows bfloat16 only where ml_dtypes is imported; that waits until a tensor needs it.
NAMES = {np.dtype(dtype): name for name, (dtype, _) in DATATYPES.items() if name != "BF16"}
BYTES_ONLY = tuple(name for name, (_, contents) in DATATYPES.items() if contents is None)
SIGNATURE = "signature_name"  # the parameter that picks one of a SavedModel's signatures
LENGTH = struct.Struct("<I")


@dataclass(frozen=True)
class InferRequest:
    """What is asked. binary: output names to whether bytes go behind the JSON; the others follow `binary_rest`."""

    inputs: Mapping[str, Array]
    signature_name: str = json_form.DEFAULT_SIGNATURE
    outputs: Sequence[str] = ()
    id: str = ""
    binary: Mapping[str, bool] = field(default_factory=dict)
    binary_rest: bool = False


def datatype(array: Array) -> str:
    """The datatype of an array. Raises ServingError."""
    dtype = np.dtype(object) if array.dtype.kind in "OSU" else array.dtype
    if dtype.name == "bfloat16":
        return "BF16"
    if dtype not in NAMES:
        raise ServingError(Kind.UNIMPLEMENTED, f"tensors of dtype {array.dtype} have no form in this protocol")
    return NAMES[dtype]


def from_bytes(raw: bytes, kind: str, shape: Sequence[int], place: str) -> Array:
    """Little-endian elements in row-major order; strings with four bytes of length before each."""
    dtype, _ = _known(kind, place)
    count = _count(shape, place)
    if dtype == "O":
        return _object_array(list(_split(raw, place)), count, place).reshape(shape)
    wanted = bfloat16(place) if kind == "BF16" else np.dtype(dtype)
    if len(raw) != count * wanted.itemsize:
        raise bad(f"{place}: {len(raw)} bytes for {count} elements of {kind}")
    if dtype == "?" and set(raw) - {0, 1}:
        raise bad(f"{place}: expected bytes 0 and 1 for BOOL")
    return np.frombuffer(raw, wanted).reshape(shape)


def to_bytes(array: Array) -> bytes:
    """As from_bytes reads it."""
    dtype, _ = DATATYPES[datatype(array)]
    if dtype != "O":
        raw: bytes = array.astype(dtype, copy=False).tobytes()
        return raw
    texts = (value.encode() if isinstance(value, str) else bytes(value) for value in array.reshape(-1).tolist())
    return b"".join(LENGTH.pack(len(text)) + text for text in texts)


def _split(raw: bytes, place: str) -> Iterator[bytes]:
    position = 0
    while position < len(raw):
        if len(raw) - position < LENGTH.size:
            raise bad(f"{place}: the bytes end inside a length")
        (length,) = LENGTH.unpack_from(raw, position)
        position += LENGTH.size
        if len(raw) - position < length:
            raise bad(f"{place}: the bytes end inside a string of {length} bytes")
        yield raw[position : position + length]
        position += length


def _object_array(values: Sequence[Any], count: int, place: str) -> Array:
    if len(values) != count:
        raise bad(f"{place}: {len(values)} values for {count} elements")
    array = np.empty(count, object)
    array[:] = values
    return array


def _known(kind: Any, place: str) -> tuple[str, str | None]:
    if not isinstance(kind, str) or kind not in DATATYPES:
        raise bad(f"{place}: expected a datatype of {', '.join(DATATYPES)}; got {kind!r}")
    return DATATYPES[kind]


def _count(shape: Any, place: str) -> int:
    if not isinstance(shape, Sequence) or not all(type(size) is int and 0 <= size < 2**63 for size in shape):
        raise bad(f"{place}: expected a shape of sizes from 0; got {shape!r}")
    count = 1
    for size in shape:
        count *= size
    if len(shape) > 32 or count >= 2**40:
        raise bad(f"{place}: the shape {list(shape)[:33]} is too large")
    return count


# JSON


def parse(body: bytes, header_length: int | None) -> InferRequest:
    """Read a body; header_length: where its JSON ends and bytes begin (Inference-Header-Content-Length)."""
    if header_length is not None and not 0 <= header_length <= len(body):
        raise bad(f"Inference-Header-Content-Length is {header_length}; the body has {len(body)} bytes")
    document = load_object(body[:header_length])
    rest = memoryview(body)[len(body) if header_length is None else header_length :]  # cut without a copy
    inputs = {}
    for name, one in _tensors(document, "inputs"):
        inputs[name], rest = _json_input(one, rest, f"input {name!r}")
    if rest:
        raise bad(f"{len(rest)} bytes follow those of the last input")
    parameters = _parameters(document, "the request")
    outputs = dict(_tensors(document, "outputs")) if document.get("outputs") is not None else {}
    return InferRequest(
        inputs,
        _text(_given(parameters, SIGNATURE, ""), SIGNATURE) or json_form.DEFAULT_SIGNATURE,
        list(outputs),
        _text(_given(document, "id", ""), "id"),
        {name: flag for name, one in outputs.items() if (flag := _wants_bytes(one, name)) is not None},
        parameters.get("binary_data_output") is True,
    )


def _given(content: Mapping[str, Any], key: str, default: Any) -> Any:
    """null is what a client's library writes for a value that is not there."""
    value = content.get(key)
    return default if value is None else value


def _text(value: Any, place: str) -> str:
    if not isinstance(value, str):
        raise bad(f"expected a string as {place}; got {json.dumps(value)[:100]}")
    return value


def _parameters(content: Mapping[str, Any], place: str) -> Mapping[str, Any]:
    found = _given(content, "parameters", {})
    if not isinstance(found, dict):
        raise bad(f"expected an object as the parameters of {place}")
    return found


def _tensors(document: Mapping[str, Any], key: str) -> list[tuple[str, dict[str, Any]]]:
    content = document.get(key)
    if not isinstance(content, list) or not all(isinstance(one, dict) for one in content):
        raise bad(f"expected {key!r} as an array of objects")
    named = [(_text(one.get("name"), f"a name in {key!r}"), one) for one in content]
    if len(dict(named)) != len(named):
        raise bad(f"{key!r} has a name twice")
    return named


def _wants_bytes(output: Mapping[str, Any], name: str) -> bool | None:
    flag = _parameters(output, f"output {name!r}").get("binary_data")
    return flag if isinstance(flag, bool) else None


def _json_input(one: Mapping[str, Any], rest: memoryview, place: str) -> tuple[Array, memoryview]:
    """The array and the bytes that are left."""
    kind, shape = one.get("datatype"), one.get("shape")
    dtype, _ = _known(kind, place)
    count, size = _count(shape, place), _parameters(one, place).get("binary_data_size")
    assert isinstance(kind, str)
    assert isinstance(shape, list)
    if size is not None:
        if one.get("data") is not None or type(size) is not int or not 0 <= size <= len(rest):
            raise bad(f"{place}: expected binary_data_size up to {len(rest)} and no 'data'; got {size!r}")
        return from_bytes(bytes(rest[:size]), kind, shape, place), rest[size:]
    if one.get("data") is None:
        raise bad(f"{place} has no 'data'")
    if kind in BYTES_ONLY:
        raise bad(f"{place}: {kind} has no JSON form; send its bytes behind the JSON")
    array = json_form.to_array(one["data"], _wide(dtype), place)
    if array.size != count:
        raise bad(f"{place}: {array.size} values for the shape {shape}")
    return _narrow(array, dtype, kind, place).reshape(shape), rest


def _wide(dtype: str) -> str:
    """The dtype in which JSON numbers are read: whether they fit a narrower one is seen afterwards."""
    if dtype == "O":
        return "object"
    name = np.dtype(dtype).name
    return "int64" if np.dtype(dtype).kind in "iu" and name != "uint64" else name


def answer(request: InferRequest, model: str, version: int, outputs: Mapping[str, Array]) -> tuple[bytes, int | None]:
    """The body, and where its JSON ends if bytes follow."""
    tail, described = b"", []
    for name, array in outputs.items():
        one: dict[str, Any] = {"name": name, "datatype": datatype(array), "shape": list(array.shape)}
        if request.binary.get(name, request.binary_rest):
            raw = to_bytes(array)
            tail, one["parameters"] = tail + raw, {"binary_data_size": len(raw)}
        else:
            one["data"] = _json_data(array, name)
        described.append(one)
    document = {"model_name": model, "model_version": str(version), "outputs": described}
    if request.id:
        document["id"] = request.id
    head = json.dumps(document, separators=(",", ":")).encode()
    return head + tail, len(head) if tail or request.binary_rest or any(request.binary.values()) else None


def _json_data(array: Array, name: str) -> list[Any]:
    kind = datatype(array)
    if kind in BYTES_ONLY:
        raise bad(f"output {name!r}: {kind} has no JSON form; ask for binary_data")
    flat = array.reshape(-1).tolist()
    if kind != "BYTES":
        return flat
    try:
        return [value if isinstance(value, str) else bytes(value).decode() for value in flat]
    except UnicodeDecodeError as error:
        raise bad(f"output {name!r} is not UTF-8; ask for binary_data") from error


# Messages


def from_message(message: Any) -> InferRequest:
    """A ModelInferRequest, whose tensors are all in raw_input_contents or each in its own contents."""
    raw, names = list(message.raw_input_contents), [one.name for one in message.inputs]
    if raw and len(raw) != len(names):
        raise bad(f"{len(raw)} raw_input_contents for {len(names)} inputs")
    if len(set(names)) != len(names):
        raise bad("'inputs' has a name twice")
    inputs = {
        one.name: _message_input(one, raw[index] if raw else None, f"input {one.name!r}")
        for index, one in enumerate(message.inputs)
    }
    signature = message.parameters[SIGNATURE].string_param if SIGNATURE in message.parameters else ""
    return InferRequest(
        inputs,
        signature or json_form.DEFAULT_SIGNATURE,
        [one.name for one in message.outputs],
        message.id,
        binary_rest=bool(raw),
    )


def _message_input(one: Any, raw: bytes | None, place: str) -> Array:
    dtype, name = _known(one.datatype, place)
    shape = list(one.shape)
    count = _count(shape, place)
    if raw is not None:
        if one.HasField("contents"):
            raise bad(f"{place}: contents and raw_input_contents are both there")
        return from_bytes(raw, one.datatype, shape, place)
    if name is None:
        raise bad(f"{place}: {one.datatype} goes into raw_input_contents")
    values = list(getattr(one.contents, name))
    if dtype == "O":
        return _object_array(values, count, place).reshape(shape)
    if len(values) != count:
        raise bad(f"{place}: {len(values)} values for the shape {shape}")
    wide = np.array(values, np.uint64 if dtype == "<u8" else np.int64) if np.dtype(dtype).kind in "iu" else values
    return _narrow(np.asarray(wide), dtype, one.datatype, place).reshape(shape)


def _narrow(array: Array, dtype: str, kind: str, place: str) -> Array:
    wanted = np.dtype(dtype)
    if wanted.kind in "iu" and array.size:
        limits = np.iinfo(wanted)
        if array.min() < limits.min or array.max() > limits.max:
            raise bad(f"{place}: a value does not fit {kind}")
    return array.astype(wanted)


def to_message(request: InferRequest, model: str, version: int, outputs: Mapping[str, Array]) -> Any:
    """A ModelInferResponse with bytes where the request had them, or where a dtype has nothing else."""
    response = MESSAGES["ModelInferResponse"](model_name=model, model_version=str(version), id=request.id)
    raw = request.binary_rest or any(datatype(array) in BYTES_ONLY for array in outputs.values())
    for name, array in outputs.items():
        kind = datatype(array)
        one = response.outputs.add(name=name, datatype=kind, shape=array.shape)
        if raw:
            response.raw_output_contents.append(to_bytes(array))
            continue
        flat = array.reshape(-1).tolist()
        values = [x.encode() if isinstance(x, str) else bytes(x) for x in flat] if kind == "BYTES" else flat
        getattr(one.contents, str(DATATYPES[kind][1])).extend(values)
    return response
