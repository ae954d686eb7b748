"""TensorProto <-> NumPy, without TensorFlow (TF Serving protocol, section 10)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from flowformers.errors import Kind, ServingError
from flowformers.types import Array
from flowformers.wire.descriptors import message

TensorProto = message("tensorflow/core/framework/tensor.proto", "tensorflow.TensorProto")

# DataType number: (name, NumPy dtype, the field of TensorProto that holds its values)
DTYPES: dict[int, tuple[str, str, str]] = {
    1: ("DT_FLOAT", "<f4", "float_val"),
    2: ("DT_DOUBLE", "<f8", "double_val"),
    3: ("DT_INT32", "<i4", "int_val"),
    4: ("DT_UINT8", "u1", "int_val"),
    5: ("DT_INT16", "<i2", "int_val"),
    6: ("DT_INT8", "i1", "int_val"),
    7: ("DT_STRING", "O", "string_val"),
    8: ("DT_COMPLEX64", "<c8", "scomplex_val"),
    9: ("DT_INT64", "<i8", "int64_val"),
    10: ("DT_BOOL", "?", "bool_val"),
    17: ("DT_UINT16", "<u2", "int_val"),
    18: ("DT_COMPLEX128", "<c16", "dcomplex_val"),
    19: ("DT_HALF", "<f2", "half_val"),
    22: ("DT_UINT32", "<u4", "uint32_val"),
    23: ("DT_UINT64", "<u8", "uint64_val"),
}
STRING, BFLOAT16 = 7, 14
NUMBERS = {np.dtype(dtype): number for number, (_, dtype, _) in DTYPES.items()}
# Values of two bytes that travel as integers, and complex ones that travel as pairs.
TRAVELS_AS = {8: "<f4", 14: "<u2", 18: "<f8", 19: "<u2"}
PACKED = {"float_val": (b"\x2a", "<f4"), "double_val": (b"\x32", "<f8")}  # tag of the field, bytes as NumPy has them


def dtype_number(array: Array) -> int:
    """The DataType of an array; strings may be bytes, str or object arrays. Raises ServingError."""
    if array.dtype in NUMBERS:
        return NUMBERS[array.dtype]
    if array.dtype.kind in "SU":
        return STRING
    if array.dtype.name == "bfloat16":
        return BFLOAT16
    raise ServingError(Kind.UNIMPLEMENTED, f"tensors of dtype {array.dtype} can't be sent")


def to_proto(array: Array) -> Any:
    """A TensorProto with typed fields: clients read .float_val and so on."""
    proto = TensorProto()
    write_proto(array, proto)
    return proto


def to_packed_proto(array: Array) -> Any:
    """A TensorProto with the numbers as bytes in tensor_content: any server reads it, and it costs no loop."""
    proto = TensorProto()
    write_proto(array, proto, as_content=True)
    return proto


def write_proto(array: Array, proto: Any, *, as_content: bool = False) -> None:
    """Fill an empty TensorProto: typed fields, or tensor_content where that is asked for and no string."""
    number = proto.dtype = dtype_number(array)
    dims = proto.tensor_shape.dim
    for size in array.shape:
        dims.add().size = size
    flat = array.reshape(-1)
    if number == STRING:
        proto.string_val.extend([x.encode() if isinstance(x, str) else bytes(x) for x in flat.tolist()])
    elif as_content:
        proto.tensor_content = np.ascontiguousarray(flat).tobytes()
    else:
        _write_numbers(flat.view(TRAVELS_AS[number]) if number in TRAVELS_AS else flat, _field(number), proto)


def _write_numbers(flat: Array, field: str, proto: Any) -> None:
    if field in PACKED and flat.size > 16:  # one copy in place of a Python float for each value
        tag, dtype = PACKED[field]
        content = flat.astype(dtype, copy=False).tobytes()
        proto.MergeFromString(tag + _varint(len(content)) + content)
    else:
        getattr(proto, field).extend(flat.tolist())


def _field(number: int) -> str:
    return "half_val" if number == BFLOAT16 else DTYPES[number][2]


def _varint(value: int) -> bytes:
    content = bytearray()
    while value > 127:
        content.append(value & 127 | 128)
        value >>= 7
    content.append(value)
    return bytes(content)


def to_array(proto: Any, name: str) -> Array:
    """An array of the proto's shape. Fewer values than elements repeat the last one. Raises ServingError
    that names the input.
    """
    number = proto.dtype
    if number not in DTYPES and number != BFLOAT16:
        raise _bad(name, f"dtype {number} is not supported")
    shape = _shape(name, proto.tensor_shape)
    count = math.prod(shape)
    if number == STRING:
        return _strings(name, proto.string_val, count).reshape(shape)
    dtype = _bfloat16(name) if number == BFLOAT16 else np.dtype(DTYPES[number][1])
    if proto.tensor_content:
        return _content(name, proto.tensor_content, dtype, count).reshape(shape)
    return _fill(name, getattr(proto, _field(number)), number, dtype, count).reshape(shape)


def _shape(name: str, proto: Any) -> list[int]:
    shape = [dim.size for dim in proto.dim]
    if proto.unknown_rank or min(shape, default=0) < 0:
        raise _bad(name, f"shape {shape} is not fully known")
    # NumPy also refuses an empty array whose other dimensions multiply beyond 63 bits.
    if len(shape) > 64 or math.prod([size or 1 for size in shape]) >= 2**59:
        raise _bad(name, f"shape {shape} is too large")
    return shape


def _bad(name: str, text: str) -> ServingError:
    return ServingError(Kind.INVALID_ARGUMENT, f"tensor parsing error: {name}: {text}")


def _bfloat16(name: str) -> Any:
    try:
        import ml_dtypes
    except ImportError as error:
        raise _bad(name, "bfloat16 needs the package ml-dtypes, which TensorFlow brings") from error
    return np.dtype(ml_dtypes.bfloat16)


def _content(name: str, content: bytes, dtype: Any, count: int) -> Array:
    if len(content) != count * dtype.itemsize:
        raise _bad(name, f"{len(content)} bytes of tensor_content for {count} elements of {dtype}")
    return np.frombuffer(content, dtype)


def _check_count(name: str, given: int, count: int) -> None:
    """A few bytes must not ask for gigabytes."""
    if given > count or count > max(given, 1) * 2**20:
        raise _bad(name, f"{given} values for {count} elements")


def _strings(name: str, values: Any, count: int) -> Array:
    _check_count(name, len(values), count)
    if count and not len(values):
        raise _bad(name, f"0 values for {count} elements")
    flat = np.empty(count, object)
    if count:
        flat[: len(values)] = values
        flat[len(values) :] = values[-1]
    return flat


def _fill(name: str, values: Any, number: int, dtype: Any, count: int) -> Array:
    pairs = 2 if number in (8, 18) else 1
    if len(values) % pairs:
        raise _bad(name, f"{len(values)} values for pairs of real and imaginary parts")
    given = len(values) // pairs
    _check_count(name, given, count)
    if given > 16 and _field(number) in PACKED:
        raw = _read_packed(values, _field(number))
        return raw if given == count else _repeat_last(raw, count)
    # Fields of small integers are wider on the wire than the dtype: the upper bits are dropped, as in TensorFlow.
    wide = np.int64 if _field(number) in ("int_val", "half_val") else dtype if pairs == 1 else TRAVELS_AS[number]
    raw = np.array(values[:], wide).astype(TRAVELS_AS.get(number, dtype)).view(dtype)
    return raw if given == count else _repeat_last(raw, count)


def _repeat_last(raw: Array, count: int) -> Array:
    return np.concatenate([raw, np.full(count - len(raw), raw[-1] if len(raw) else 0, raw.dtype)])


def _read_packed(values: Any, field: str) -> Array:
    """The values of a packed field, from its bytes: no Python float for each."""
    alone = TensorProto()
    getattr(alone, field).MergeFrom(values)
    dtype = np.dtype(PACKED[field][1])
    return np.frombuffer(alone.SerializeToString()[-len(values) * dtype.itemsize :], dtype)
