"""Arrays as TensorFlow Serving writes them in JSON (TF Serving protocol, sections 5 and 6)."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from flowformers.types import Array
from flowformers.wire.json_values import bad

DIGITS = {np.dtype(np.float32): 9, np.dtype(np.float64): 17}


def predictions(outputs: Mapping[str, Array], *, rows: bool) -> bytes:
    """The answer's body: {"predictions": rows} or {"outputs": columns}. Raises ServingError for uneven rows."""
    if not rows:
        values = {name: _json(array, name) for name, array in outputs.items()}
        content = next(iter(values.values())) if len(values) == 1 else _object(values)
        return f'{{\n    "outputs": {content}\n}}'.encode("utf-8", errors="surrogateescape")
    return _table(_lines(outputs))


def joined_predictions(parts: Sequence[tuple[Sequence[int], Mapping[str, Array]]]) -> bytes:
    """One body in row form of several runs: (the numbers of the rows, their outputs)."""
    lines: dict[int, str] = {}
    for indices, outputs in parts:
        lines.update(zip(indices, _lines(outputs), strict=True))
    return _table([lines[index] for index in sorted(lines)])


def _table(lines: Sequence[str]) -> bytes:
    return f'{{\n    "predictions": [{", ".join(lines)}\n    ]\n}}'.encode("utf-8", errors="surrogateescape")


def _lines(outputs: Mapping[str, Array]) -> list[str]:
    """The JSON text of each row of all outputs."""
    size = _batch_size(outputs)
    table = {name: _rows(array, name) for name, array in outputs.items()}
    if len(table) == 1:
        return next(iter(table.values()))
    return [_object({name: column[index] for name, column in table.items()}) for index in range(size)]


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
    # NumPy's own strings strip zero bytes.
    array = np.asarray(array, object) if isinstance(array, bytes) else np.asarray(array)
    return _nested(texts(array.reshape(-1), name), array.shape)


def _rows(array: Array, name: str) -> list[str]:
    """The JSON text of each row."""
    array = np.asarray(array)
    flat, width = texts(array.reshape(-1), name), math.prod(array.shape[1:])
    return [_nested(flat[start * width : (start + 1) * width], array.shape[1:]) for start in range(len(array))]


def _nested(flat: list[str], shape: tuple[int, ...]) -> str:
    """Values of a shape, in brackets from the innermost dimension outwards."""
    for axis in reversed(range(len(shape))):
        size, count = shape[axis], math.prod(shape[:axis])
        flat = [f"[{', '.join(flat[start * size : (start + 1) * size])}]" for start in range(count)]
    return flat[0]


def texts(flat: Array, name: str) -> list[str]:
    """The JSON text of each value of a vector. Raises ServingError for a dtype without one."""
    if flat.dtype.kind in "OSU":
        return [_string(value, name) for value in flat.tolist()]
    if flat.dtype == np.bool_:
        return ["true" if value else "false" for value in flat.tolist()]
    if flat.dtype in DIGITS:
        return _floats(flat)
    if flat.dtype.kind in "iu" and flat.dtype != np.uint16:
        return list(map(str, flat.tolist()))
    raise bad(f"Failed to write JSON value for tensor type: {flat.dtype}")


def _floats(flat: Array) -> list[str]:
    """Six significant digits where they read back to the same number, else nine (float32) or seventeen."""
    numbers = flat.tolist()
    short = [f"{number:.6g}" for number in numbers]
    exact = (np.array([*map(float, short)], flat.dtype) == flat).tolist()
    if not all(exact):
        form = f"%.{DIGITS[flat.dtype]}g"
        short = [text if good else form % number for text, good, number in zip(short, exact, numbers, strict=True)]
    return [text if "." in text or "e" in text else _whole(text) for text in short]


def _whole(text: str) -> str:
    """A text of digits alone with a point; NaN and infinities by their JSON-like names."""
    return CONSTANTS.get(text) or f"{text}.0"


CONSTANTS = {"nan": "NaN", "-nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def _string(value: Any, name: str) -> str:
    raw = value.encode() if isinstance(value, str) else bytes(value)
    if name.endswith("_bytes"):
        return json.dumps({"b64": base64.b64encode(raw).decode()})
    return json.dumps(raw.decode("utf-8", errors="surrogateescape"), ensure_ascii=False)
