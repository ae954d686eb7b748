"""TensorProto <-> NumPy, without TensorFlow (TF Serving protocol, section 10)."""

from __future__ import annotations

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
    9: ("DT_INT64", "<i8", "int64_val"),
    10: ("DT_BOOL", "?", "bool_val"),
    17: ("DT_UINT16", "<u2", "int_val"),
    19: ("DT_HALF", "<f2", "half_val"),
    22: ("DT_UINT32", "<u4", "uint32_val"),
    23: ("DT_UINT64", "<u8", "uint64_val"),
}
NUMBERS = {np.dtype(dtype): number for number, (_, dtype, _) in DTYPES.items()}


def dtype_number(array: Array) -> int:
    """The DataType of an array; strings may be bytes, str or object arrays. Raises ServingError."""
    if array.dtype.kind in "OSU":
        return 7
    if array.dtype not in NUMBERS:
        raise ServingError(Kind.UNIMPLEMENTED, f"tensors of dtype {array.dtype} can't be sent")
    return NUMBERS[array.dtype]


def to_proto(array: Array) -> Any:
    """A TensorProto with typed fields: clients read .float_val and so on."""
    number = dtype_number(array)
    proto = TensorProto(dtype=number)
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    field = getattr(proto, DTYPES[number][2])
    flat = array.reshape(-1)
    if number == 7:
        field.extend(x.encode() if isinstance(x, str) else bytes(x) for x in flat.tolist())
    elif number == 19:
        field.extend(flat.view(np.uint16).tolist())
    else:
        field.extend(flat.tolist())
    return proto


def to_packed_proto(array: Array) -> Any:
    """A TensorProto with the numbers as bytes in tensor_content: any server reads it, and it costs no loop."""
    number = dtype_number(array)
    if number == 7:
        return to_proto(array)
    proto = TensorProto(dtype=number, tensor_content=array.astype(DTYPES[number][1], copy=False).tobytes())
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    return proto


def to_array(proto: Any, name: str) -> Array:
    """An array of the proto's shape. Fewer values than elements repeat the last one. Raises ServingError
    that names the input.
    """
    if proto.dtype not in DTYPES:
        raise _bad(name, f"dtype {proto.dtype} is not supported")
    shape = [dim.size for dim in proto.tensor_shape.dim]
    if proto.tensor_shape.unknown_rank or any(size < 0 for size in shape):
        raise _bad(name, f"shape {shape} is not fully known")
    _, dtype, field = DTYPES[proto.dtype]
    count = int(np.prod(shape, dtype=object)) if shape else 1
    if proto.tensor_content and dtype != "O":
        return _content(name, proto.tensor_content, dtype, count).reshape(shape)
    return _fill(name, getattr(proto, field), dtype, count).reshape(shape)


def _bad(name: str, text: str) -> ServingError:
    return ServingError(Kind.INVALID_ARGUMENT, f"tensor parsing error: {name}: {text}")


def _content(name: str, content: bytes, dtype: str, count: int) -> Array:
    if len(content) != count * np.dtype(dtype).itemsize:
        raise _bad(name, f"{len(content)} bytes of tensor_content for {count} elements of {dtype}")
    return np.frombuffer(content, dtype)


def _fill(name: str, values: Any, dtype: str, count: int) -> Array:
    if len(values) > count or (not len(values) and count and dtype == "O"):
        raise _bad(name, f"{len(values)} values for {count} elements")
    if count > max(len(values), 1) * 2**20:  # a few bytes must not ask for gigabytes
        raise _bad(name, f"{len(values)} values for {count} elements")
    if dtype == "O":
        flat = np.empty(count, object)
        flat[:] = [*values, *[values[-1]] * (count - len(values))] if count else []
        return flat
    raw = np.array(values, dtype=np.uint16).view(np.float16) if dtype == "<f2" else np.array(values).astype(dtype)
    return np.concatenate([raw, np.full(count - len(raw), raw[-1] if len(raw) else 0, raw.dtype)])
