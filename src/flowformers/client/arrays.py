"""What callers give -> arrays of the dtypes that a signature declares; exact or refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from flowformers.client.calls import STRING, Signature, TensorInfo
from flowformers.errors import InvalidInput, Kind, MissingDependency, ServingError
from flowformers.types import Array

BFLOAT16 = "bfloat16"
# For each kind of dtype the kinds of numbers that may be sent as it.
TAKES = {"b": "b", "i": "biu", "u": "biu", "f": "biuf", "c": "biufc"}


class Misfit(ServingError):
    """An answer that is not what the signature declares: the model may have changed since its metadata was read."""

    def __init__(self, text: str) -> None:
        super().__init__(Kind.UNKNOWN, f"the answer does not fit the metadata of the model: {text}")


def to_arrays(inputs: Any, signature: Signature, name: str) -> dict[str, Array]:
    """A mapping of every input, or the only input itself. Raises InvalidInput that shows the signature."""
    expected = signature.inputs
    if not isinstance(inputs, Mapping):
        if len(expected) != 1:
            raise InvalidInput(f"expected a mapping of {', '.join(expected)}; signature {name!r} is {signature}")
        inputs = {next(iter(expected)): inputs}
    if set(inputs) != set(expected):
        missing, unknown = sorted(set(expected) - set(inputs)), sorted(set(inputs) - set(expected), key=str)
        raise InvalidInput(f"missing inputs {missing}, unknown inputs {unknown}; signature {name!r} is {signature}")
    return {key: to_array(inputs[key], info, key) for key, info in expected.items()}


def to_array(value: Any, info: TensorInfo, name: str) -> Array:
    """One input. Raises InvalidInput where a value would change or the rows are uneven."""
    if info.dtype == STRING:
        return _strings(value, name)
    wanted = _dtype(info, name)
    try:
        array = natural(value, wanted)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"{name}: expected {info}, all rows of one length (pad them); got {error}") from error
    if array.size and _kind(array.dtype) not in TAKES[_kind(wanted)]:
        raise InvalidInput(f"{name}: expected {info}; got {array.dtype}")
    with np.errstate(over="ignore"):  # as in JSON: too big for float32 is infinity
        cast = array.astype(wanted)
    if wanted.kind in "iu" and not np.array_equal(cast, array):
        raise InvalidInput(f"{name}: expected {info}; values from {array.min()} to {array.max()} do not fit")
    return cast


def natural(value: Any, wanted: np.dtype[Any]) -> Array:
    """As NumPy reads it, but whole numbers stay whole: NumPy makes floats of [1, 2**63]."""
    array = np.asarray(value)
    if wanted.kind not in "iu" or array.dtype.kind not in "fO":
        return array
    whole = np.array(value, dtype=object)
    fits = all(isinstance(one, int | np.integer) and 0 <= one < 2**64 for one in whole.flat)
    return whole.astype(np.uint64) if fits else array


def _dtype(info: TensorInfo, name: str) -> np.dtype[Any]:
    """NumPy's dtype. Raises MissingDependency for bfloat16, InvalidInput for one that NumPy has no form of."""
    try:
        if info.dtype == BFLOAT16:
            import ml_dtypes  # noqa: F401  teaches NumPy the name

        return np.dtype(info.dtype)
    except ImportError as error:
        text = f"{name}: expected {info}; NumPy knows bfloat16 from the package ml-dtypes: pip install ml-dtypes"
        raise MissingDependency(text) from error
    except TypeError as error:
        raise InvalidInput(f"{name}: the signature declares {info}; this client can't send that dtype") from error


def _kind(dtype: np.dtype[Any]) -> str:
    """NumPy's letter; it calls bfloat16, which it knows from outside, no number."""
    return "f" if dtype.name == BFLOAT16 else dtype.kind


def _strings(value: Any, name: str) -> Array:
    """An object array of bytes. Strings are sent as UTF-8."""
    array = np.asarray(value) if hasattr(value, "dtype") else np.array(value, dtype=object)
    flat = np.empty(array.size, object)  # NumPy's own string dtypes lose zero bytes at the end
    flat[:] = [_bytes(one, name) for one in array.reshape(-1).tolist()]
    return flat.reshape(array.shape)


def _bytes(value: Any, name: str) -> bytes:
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise InvalidInput(f"{name}: expected strings or bytes; got {type(value).__name__}")
    try:
        return value.encode("utf-8", errors="surrogateescape")
    except UnicodeEncodeError as error:
        raise InvalidInput(f"{name}: {error.object[error.start]!r} has no UTF-8 form; send bytes instead") from error


def as_text(array: Array, name: str) -> Array:
    """Strings of an output: str, bytes where its name ends in _bytes, as TensorFlow Serving's JSON has it.

    What is not UTF-8 survives in str by surrogateescape.
    """
    if array.dtype != object or name.endswith("_bytes"):
        return array
    text = np.empty(array.size, object)
    text[:] = [value.decode("utf-8", errors="surrogateescape") for value in array.reshape(-1)]
    return text.reshape(array.shape)
