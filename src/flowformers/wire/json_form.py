"""The JSON forms of predict: rows ("instances") and columns ("inputs") (TF Serving protocol, sections 4 to 6)."""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from flowformers.errors import Kind, ServingError
from flowformers.types import Array

DEFAULT_SIGNATURE = "serving_default"
INTEGERS = {"int8": 32, "int16": 32, "int32": 32, "uint8": 32, "int64": 64, "uint32": 32, "uint64": 64}
FLOATS = ("float32", "float64")
# TensorFlow Serving's parser knows three words that Python's does not; strings are matched to be left alone.
WORDS = re.compile(r'"(?:[^"\\]|\\.)*"|-NaN|-?Inf(?!inity)', re.DOTALL)
PYTHONS_WORDS = {"-NaN": "NaN", "Inf": "Infinity", "-Inf": "-Infinity"}


class Constant(float):
    """NaN or an infinity that the request spells out, unlike one that came of a number too big for a double."""


@dataclass(frozen=True)
class JsonRequest:
    """A parsed predict body. rows: instances; otherwise inputs."""

    signature_name: str
    rows: bool
    content: Any


def bad(text: str) -> ServingError:
    """INVALID_ARGUMENT."""
    return ServingError(Kind.INVALID_ARGUMENT, text)


def parse(body: bytes) -> JsonRequest:
    """Read a body. Raises ServingError that tells the offset or the key at fault."""
    document = _document(body)
    if not isinstance(document, dict):
        raise bad("JSON Value: Is not object")
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise bad("'signature_name' key must be a string value.")
    keys = [key for key in ("instances", "inputs") if key in document]
    if len(keys) == 2:
        raise bad("Request has both 'instances' and 'inputs' keys; expecting only one of them.")
    if not keys:
        raise bad("Missing 'inputs' or 'instances' key")
    return JsonRequest(name or DEFAULT_SIGNATURE, keys[0] == "instances", document[keys[0]])


def _document(body: bytes) -> Any:
    text = body.decode("utf-8", errors="surrogateescape").lstrip("\ufeff \t\r\n")
    if not text:
        raise bad("JSON Parse error: The document is empty")
    if "Inf" in text or "-NaN" in text:
        text = WORDS.sub(lambda found: PYTHONS_WORDS.get(found[0], found[0]), text)
    try:
        return json.JSONDecoder(object_pairs_hook=_first_of_equals, parse_constant=Constant).raw_decode(text)[0]
    except json.JSONDecodeError as error:
        raise bad(f"JSON Parse error: {error.msg} at offset: {error.pos}") from error
    except RecursionError as error:
        raise bad("JSON Parse error: the document is nested too deeply") from error
    except ValueError as error:  # an integer of more digits than Python converts
        raise bad(f"JSON Parse error: {error}") from error


def _first_of_equals(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else dict(reversed(pairs))


def to_inputs(request: JsonRequest, dtypes: Mapping[str, str]) -> dict[str, Array]:
    """Named arrays. dtypes: the signature's inputs with NumPy names ("int32", "object" for strings)."""
    return _rows(request.content, dtypes) if request.rows else _columns(request.content, dtypes)


def _columns(content: Any, dtypes: Mapping[str, str]) -> dict[str, Array]:
    if not _is_named(content):
        if len(dtypes) != 1:
            raise bad(f"'inputs' is a plain value/list, but expecting an object with {', '.join(sorted(dtypes))}")
        content = {next(iter(dtypes)): content}
    for name in dtypes:
        if name not in content:
            raise bad(f"Missing named input: {name} in 'inputs' object.")
    return {name: to_array(content[name], dtype, f"[key: {name}] of 'inputs'") for name, dtype in dtypes.items()}


def _rows(content: Any, dtypes: Mapping[str, str]) -> dict[str, Array]:
    if not isinstance(content, list):
        raise bad("Expecting 'instances' value to be an array/list")
    if not content:
        raise bad("No values in 'instances' array.")
    named = _is_named(content[0])
    if not named and len(dtypes) != 1:
        expected = f"expecting list of objects as multiple input tensors required: {_join(dtypes)}"
        raise bad(f"instances is a plain list, but {expected}")
    for index, row in enumerate(content):
        _check_row(index, row, named, dtypes)
    columns = {name: [row[name] for row in content] if named else content for name in dtypes}
    return {name: _stack(values, dtypes[name], name) for name, values in columns.items()}


def _check_row(index: int, row: Any, named: bool, dtypes: Mapping[str, str]) -> None:
    if _is_named(row) is not named:
        raise bad(f"{_element(index)}: mixes objects and values")
    if not named:
        return
    missing = [name for name in dtypes if name not in row]
    if missing:
        raise bad(f"{_element(index)}: does not have named input: {missing[0]}")
    if len(row) != len(dtypes):
        raise bad(f"{_element(index)}: keys must be equal to: {_join(dtypes)}")


def _element(index: int, key: str = "") -> str:
    named = f" key: {key}" if key else ""
    return f"Failed to process element: {index}{named} of 'instances' list. Error: INVALID_ARGUMENT"


def _join(names: Mapping[str, str]) -> str:
    return ",".join(sorted(names))


def _stack(values: list[Any], dtype: str, name: str) -> Array:
    rows = []
    for index, value in enumerate(values):
        place = _element(index, name)
        try:
            rows.append(to_array(value, dtype, place))
        except ServingError as error:  # any kind of error in a row is the request's
            raise bad(str(error)) from error
        if rows[-1].size != rows[0].size:
            raise bad(f"{place}: Expecting tensor size: {rows[0].size} but got: {rows[-1].size}")
        if rows[-1].shape != rows[0].shape:
            raise bad(f"{place}: Expecting shape {list(rows[0].shape)} but got: {list(rows[-1].shape)}")
    return np.stack(rows)


def _is_base64(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == {"b64"}


def _is_named(value: Any) -> bool:
    return isinstance(value, dict) and not _is_base64(value)


def to_array(value: Any, dtype: str, place: str) -> Array:
    """Nested lists -> an array; the shape follows first elements. Raises ServingError for ragged lists and types."""
    shape, first = [], value
    while isinstance(first, list):
        shape.append(len(first))
        first = first[0] if first else None
    flat: list[Any] = []
    _flatten(value, shape, flat, place)
    return _convert(flat, dtype, place).reshape(shape)


def _flatten(value: Any, shape: list[int], flat: list[Any], place: str) -> None:
    level = [value]
    for size in shape:
        for one in level:
            if not isinstance(one, list):
                raise bad(f"{place}: Encountered list at unexpected level")
            if len(one) != size:
                raise bad(f"{place}: Encountered list at unexpected size: {len(one)} expected: {size}")
        level = [leaf for one in level for leaf in one]
    if any(isinstance(leaf, list) for leaf in level):
        raise bad(f"{place}: Encountered list at incorrect level")
    flat.extend(level)


def _convert(flat: list[Any], dtype: str, place: str) -> Array:
    if dtype == "object":
        array = np.empty(len(flat), object)
        array[:] = [_text(value, place) for value in flat]
        return array
    allowed = {"bool": {bool}}.get(dtype, {int} if dtype in INTEGERS else {int, float, Constant})
    if dtype not in INTEGERS and dtype not in FLOATS and dtype != "bool":
        raise ServingError(Kind.UNIMPLEMENTED, f"{place}: tensors of type {dtype} have no JSON form; use gRPC")
    if set(map(type, flat)) - allowed:
        wrong = next(value for value in flat if type(value) not in allowed)
        raise bad(f"{place}: JSON Value: {json.dumps(wrong)[:256]} is not of expected type: {dtype}")
    return _numbers(flat, dtype, place)


def _numbers(flat: list[Any], dtype: str, place: str) -> Array:
    if dtype in INTEGERS:
        low = 0 if dtype.startswith("u") and dtype != "uint8" else -(2 ** (INTEGERS[dtype] - 1))
        high = 2 ** INTEGERS[dtype] if low == 0 else -low
        outside = next((value for value in flat if not low <= value < high), None)
        if outside is not None:
            raise bad(f"{place}: JSON Value: {outside} is not of expected type: {dtype}")
        return np.array(flat, dtype=np.uint64 if dtype == "uint64" else np.int64).astype(dtype)
    try:
        doubles = np.array(flat, dtype=np.float64)
    except OverflowError:
        doubles = None
    if doubles is None or (np.isinf(doubles).any() and any(type(x) is float and math.isinf(x) for x in flat)):
        raise bad(f"{place}: JSON Value: Number too big to be stored in double")
    with np.errstate(over="ignore"):  # too big for float32 is Infinity, as in TensorFlow Serving
        return doubles.astype(dtype)


def _text(value: Any, place: str) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8", errors="surrogateescape") if _encodable(value) else _lone(place)
    if not isinstance(value, dict):
        raise bad(f"{place}: JSON Value: {json.dumps(value)[:256]} is not of expected type: string")
    if not _is_base64(value) or not isinstance(value["b64"], str):
        raise bad(f"{place}: JSON Value: {json.dumps(value)[:256]} is not formatted correctly for base64 data")
    text = "".join(value["b64"].split())
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4 if "=" not in text else 0), validate=True)
    except (binascii.Error, ValueError) as error:
        raise bad(f"{place}: Unable to base64 decode") from error


def _encodable(value: str) -> bool:
    return not any("\ud800" <= letter <= "\udc7f" or "\udd00" <= letter <= "\udfff" for letter in value)


def _lone(place: str) -> bytes:
    raise bad(f"{place}: JSON Parse error: a surrogate without its partner")


def predictions(outputs: Mapping[str, Array], *, rows: bool) -> bytes:
    """The answer's body: {"predictions": rows} or {"outputs": columns}. Raises ServingError for uneven rows."""
    if not rows:
        values = {name: _json(array, name) for name, array in outputs.items()}
        content = next(iter(values.values())) if len(values) == 1 else _object(values)
        return f'{{\n    "outputs": {content}\n}}'.encode("utf-8", errors="surrogateescape")
    size = _batch_size(outputs)
    table = {name: [_json(row, name) for row in array] for name, array in outputs.items()}
    if len(table) == 1:
        lines = next(iter(table.values()))
    else:
        lines = [_object({name: column[index] for name, column in table.items()}) for index in range(size)]
    return f'{{\n    "predictions": [{", ".join(lines)}\n    ]\n}}'.encode("utf-8", errors="surrogateescape")


def _batch_size(outputs: Mapping[str, Array]) -> int:
    sizes = {}
    for name, array in outputs.items():
        if np.ndim(array) == 0:
            raise bad(f"Tensor name: {name} has no shape information")
        sizes[name] = len(array)
    if len(set(sizes.values())) > 1:
        raise bad(
            f"Tensor name: {list(sizes)[-1]} has inconsistent batch size: {list(sizes.values())[-1]} expecting: "
            f"{next(iter(sizes.values()))}. Use the columnar form ('inputs') for outputs that are not batch-major"
        )
    return next(iter(sizes.values()))


def _object(values: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{json.dumps(name)}: {value}" for name, value in values.items()) + "}"


def _json(array: Any, name: str) -> str:
    """An array as JSON text."""
    array = (
        np.asarray(array, object) if isinstance(array, bytes) else np.asarray(array)
    )  # NumPy's own strips zero bytes
    if array.ndim:
        return "[" + ", ".join(_json(row, name) for row in array) + "]" if array.ndim > 1 else _line(array, name)
    return _line(array.reshape(1), name)[1:-1]


def _line(array: Array, name: str) -> str:
    if array.dtype.kind in "OSU":
        return "[" + ", ".join(_string(value, name) for value in array.tolist()) + "]"
    if array.dtype == np.bool_:
        return "[" + ", ".join("true" if value else "false" for value in array) + "]"
    if array.dtype.kind in "iu":
        return "[" + ", ".join(map(str, array.tolist())) + "]"
    if array.dtype.name in FLOATS:
        return "[" + ", ".join(_float(value) for value in array) + "]"
    raise bad(f"Failed to write JSON value for tensor type: {array.dtype}")


def _float(value: Any) -> str:
    """Six significant digits where they read back to the same number, else nine (float32) or seventeen."""
    number = float(value)
    if not math.isfinite(number):
        return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"
    text = f"{number:.6g}"
    if type(value)(text) != value:
        text = f"{number:.{9 if value.dtype == np.float32 else 17}g}"
    return text if any(mark in text for mark in ".e") else f"{text}.0"


def _string(value: Any, name: str) -> str:
    raw = value.encode() if isinstance(value, str) else bytes(value)
    if name.endswith("_bytes"):
        return json.dumps({"b64": base64.b64encode(raw).decode()})
    return json.dumps(raw.decode("utf-8", errors="surrogateescape"), ensure_ascii=False)
