"""The JSON forms of predict: rows ("instances") and columns ("inputs") (TF Serving protocol, sections 4 to 6)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np

from flowformers.errors import Kind, ServingError
from flowformers.types import Array
from flowformers.wire.json_values import Constant, bad, check_numbers, echo, is_base64, read_document, to_bytes

DEFAULT_SIGNATURE = "serving_default"
INIT_OP = "__saved_model_init_op"  # in TensorFlow 2's exports: a signature that only the loader runs
INTEGERS = {"int8": 32, "int16": 32, "int32": 32, "uint8": 32, "int64": 64, "uint32": 32, "uint64": 64}
FLOATS = ("float32", "float64")
READ = {"signature_name", "instances", "inputs", "context", "examples"}  # the keys that are not ignored
MAX_RANK = 64  # of a NumPy array


@dataclass(frozen=True)
class JsonRequest:
    """A parsed body whose signature name is known; what it asks is read when the signature is.

    chosen: the numbers of the rows that are read, where they are not all.
    """

    signature_name: str
    document: dict[str, Any]
    chosen: Sequence[int] | None = None

    @property
    def rows(self) -> bool:
        """Whether it is in row form, "instances"; otherwise columnar, "inputs"."""
        return "instances" in self.document


def parse(body: bytes) -> JsonRequest:
    """Read a body. Raises ServingError that tells the offset or the key at fault."""
    document = read_document(body)
    if not isinstance(document, dict):
        raise bad(f"JSON Value: {echo(document)} Is not object")
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise bad(f"JSON Value: {echo(document)} 'signature_name' key must be a string value.")
    for key in document.keys() - READ:
        check_numbers(document[key])
    return JsonRequest(name or DEFAULT_SIGNATURE, document)


def to_inputs(request: JsonRequest, dtypes: Mapping[str, str]) -> dict[str, Array]:
    """Named arrays. dtypes: the signature's inputs with NumPy names ("int32", "object" for strings)."""
    keys = [key for key in ("instances", "inputs") if key in request.document]
    if len(keys) == 2:
        raise bad("Not formatted correctly: expecting only one of 'inputs' or 'instances' keys to exist")
    if not keys:
        raise bad("Missing 'inputs' or 'instances' key")
    content = request.document[keys[0]]
    return _rows(content, dtypes, request.chosen) if request.rows else _columns(content, dtypes)


def parts(request: JsonRequest) -> list[tuple[list[int], JsonRequest]]:
    """A request in row form as requests whose rows agree in shape, each with the numbers of its rows.

    The first is to be read before any is run: it is refused where any row does not fit the signature's names.
    """
    rows = request.document.get("instances")
    if not isinstance(rows, list) or "inputs" in request.document:
        return [([], request)]
    found: dict[Any, list[int]] = {}
    for index, row in enumerate(rows):
        found.setdefault(_shapes(row), []).append(index)
    return [(indices, replace(request, chosen=indices)) for indices in found.values()] or [([], request)]


def _shapes(row: Any) -> Any:
    return tuple(sorted((name, *_shape(value)) for name, value in row.items())) if _is_named(row) else _shape(row)


def _shape(value: Any) -> tuple[int, ...]:
    """As first elements have it."""
    shape: list[int] = []
    while isinstance(value, list):
        shape.append(len(value))
        value = value[0] if value else None
    return tuple(shape)


def _columns(content: Any, dtypes: Mapping[str, str]) -> dict[str, Array]:
    if not _is_named(content):
        if len(dtypes) != 1:
            raise bad(f"'inputs' is a plain value/list, but expecting an object with {', '.join(sorted(dtypes))}")
        content = {next(iter(dtypes)): content}
    for name in dtypes:
        if name not in content:
            raise bad(f"Missing named input: {name} in 'inputs' object.")
    for name in content.keys() - dtypes.keys():
        check_numbers(content[name])
    return {name: to_array(content[name], dtype, f"[key: {name}] of 'inputs'") for name, dtype in dtypes.items()}


def _rows(content: Any, dtypes: Mapping[str, str], chosen: Sequence[int] | None) -> dict[str, Array]:
    if not isinstance(content, list):
        raise bad("Expecting 'instances' value to be an array/list")
    if not content:
        raise bad("No values in 'instances' array.")
    named = _is_named(content[0])
    if not named and len(dtypes) != 1:
        expected = f"expecting list of objects as multiple input tensors required: {_join(dtypes)}"
        raise bad(f"instances is a plain list, but {expected}")
    numbers = range(len(content)) if chosen is None else chosen
    if numbers[0] == 0:
        for index, row in enumerate(content):
            if _is_named(row) is not named or (named and row.keys() != dtypes.keys()):
                raise _misfit(index, row, named, dtypes)
    rows = content if chosen is None else [content[index] for index in chosen]
    columns = {name: [row[name] for row in rows] if named else rows for name in dtypes}
    return {name: _stack(values, dtypes[name], name, numbers) for name, values in columns.items()}


def _misfit(index: int, row: Any, named: bool, dtypes: Mapping[str, str]) -> ServingError:
    if _is_named(row) is not named:
        return bad(f"{_element(index)}: mixes objects and values")
    missing = [name for name in dtypes if name not in row]
    if missing:
        return bad(f"{_element(index)}: does not have named input: {missing[0]}")
    return bad(f"{_element(index)}: keys must be equal to: {_join(dtypes)}")


def _element(index: int, key: str = "") -> str:
    named = f" key: {key}" if key else ""
    return f"Failed to process element: {index}{named} of 'instances' list. Error: INVALID_ARGUMENT"


def _join(names: Mapping[str, str]) -> str:
    return ",".join(sorted(names))


def _stack(values: list[Any], dtype: str, name: str, numbers: Sequence[int]) -> Array:
    try:
        return to_array(values, dtype, "")
    except ServingError:  # row by row, to tell which
        return _stack_rows(values, dtype, name, numbers)


def _stack_rows(values: list[Any], dtype: str, name: str, numbers: Sequence[int]) -> Array:
    rows: list[Array] = []
    for index, value in zip(numbers, values, strict=True):
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


def _is_named(value: Any) -> bool:
    return isinstance(value, dict) and not is_base64(value)


def to_array(value: Any, dtype: str, place: str) -> Array:
    """Nested lists -> an array; the shape follows first elements. Raises ServingError for ragged lists and types."""
    shape = _shape(value)
    if len(shape) >= MAX_RANK:
        raise bad(f"{place}: lists are nested {len(shape)} deep; expected less than {MAX_RANK}")
    return _convert(_flat(value, shape, place), dtype, place).reshape(shape)


def _flat(value: Any, shape: tuple[int, ...], place: str) -> list[Any]:
    level = [value]
    for size in shape:
        if set(map(type, level)) != {list}:
            raise bad(f"{place}: Encountered list at unexpected level")
        if sizes := {*map(len, level)} - {size}:
            raise bad(f"{place}: Encountered list at unexpected size: {min(sizes)} expected: {size}")
        level = [*chain.from_iterable(level)]
    if list in map(type, level):
        raise bad(f"{place}: Encountered list at incorrect level")
    return level


def _convert(flat: list[Any], dtype: str, place: str) -> Array:
    if dtype == "object":
        array = np.empty(len(flat), object)
        array[:] = _texts(flat, place)
        return array
    allowed = {"bool": {bool}}.get(dtype, {int} if dtype in INTEGERS else {int, float, Constant})
    if dtype not in INTEGERS and dtype not in FLOATS and dtype != "bool":
        raise ServingError(Kind.UNIMPLEMENTED, f"{place}: tensors of type {dtype} have no JSON form; use gRPC")
    if set(map(type, flat)) - allowed:
        wrong = next(value for value in flat if type(value) not in allowed)
        raise bad(f"{place}: JSON Value: {echo(wrong)} is not of expected type: {dtype}")
    return _numbers(flat, dtype, place)


def _texts(flat: list[Any], place: str) -> list[bytes]:
    try:
        return [to_bytes(value) for value in flat]
    except ServingError as error:
        raise ServingError(error.kind, f"{place}: {error}") from error


def _numbers(flat: list[Any], dtype: str, place: str) -> Array:
    if dtype in INTEGERS:
        low = 0 if dtype.startswith("u") and dtype != "uint8" else -(2 ** (INTEGERS[dtype] - 1))
        high = 2 ** INTEGERS[dtype] if low == 0 else -low
        if flat and (min(flat) < low or max(flat) >= high):
            outside = next(value for value in flat if not low <= value < high)
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
