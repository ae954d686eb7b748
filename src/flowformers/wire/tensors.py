"""TensorProto <-> NumPy, without TensorFlow (TF Serving protocol, section 10)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
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
NUMPY = {number: np.dtype(dtype) for number, (_, dtype, _) in DTYPES.items()}
NUMBERS = {dtype: number for number, dtype in NUMPY.items()}
# Values of two bytes that travel as integers, and complex ones that travel as pairs.
TRAVELS_AS = {8: "<f4", 14: "<u2", 18: "<f8", 19: "<u2"}
# What values that are repeated and not sent may fill in a request: the images of a batch, but no gigabytes for a few
# bytes.
FILLED_BYTES = 256 * 2**20
STRING_BYTES = 24  # of TensorFlow's string beside its text
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


class Overfull(ServingError):
    """Values that are repeated and not sent would fill more than they may."""


class Room:
    """Bytes that values which are repeated and not sent may still fill."""

    def __init__(self, left: int = FILLED_BYTES) -> None:
        self.left = left

    def take(self, name: str, given: int, count: int, size: int) -> None:
        """For so many elements of that size. Raises Overfull."""
        wanted = (count - given) * size
        if wanted > self.left:
            some = f"{given} values for {count} elements: the repeated ones would fill {wanted} bytes"
            text = f"{some}, and {self.left} of {FILLED_BYTES} are left; send every value"
            raise Overfull(Kind.INVALID_ARGUMENT, f"tensor parsing error: {name}: {text}")
        self.left -= wanted


class Arrays(Mapping[str, Array]):
    """A map of TensorProtos as arrays that share a room. Each is read when it is asked for, by who knows the names that
    fit. Raises ServingError as to_array does.
    """

    def __init__(self, protos: Mapping[str, Any], room: Room) -> None:
        self._protos, self._room = protos, room

    def __getitem__(self, name: str) -> Array:
        if name not in self._protos:  # a map of messages would make one
            raise KeyError(name)
        return to_array(self._protos[name], name, self._room)

    def __iter__(self) -> Iterator[str]:
        return iter(self._protos)

    def __len__(self) -> int:
        return len(self._protos)


def to_array(proto: Any, name: str, room: Room | None = None) -> Array:
    """An array of the proto's shape, as TensorFlow reads it: fewer values than elements repeat the last one, and
    values beyond the last element are left out. Raises ServingError that names the input, Overfull where the room does
    not do; None is one of its own.
    """
    number = proto.dtype
    if number not in DTYPES and number != BFLOAT16:
        raise _bad(name, f"dtype {number} is not supported")
    shape = _shape(name, proto.tensor_shape)
    count, dtype = math.prod(shape), bfloat16(name) if number == BFLOAT16 else NUMPY[number]
    if not count:  # whatever values there are beside it
        return np.empty(shape, dtype)
    if number == STRING:
        values = _strings(name, proto, count)
    elif content := proto.tensor_content:
        return _content(name, content, dtype, count).reshape(shape)
    else:
        values = _numbers(getattr(proto, _field(number)), number, dtype)
    return _filled(name, values, count, room or Room()).reshape(shape)


def _shape(name: str, proto: Any) -> list[int]:
    shape = [dim.size for dim in proto.dim]
    if proto.unknown_rank or min(shape, default=0) < 0:
        raise _bad(name, f"shape {shape} is not fully known")
    # NumPy also refuses an empty array whose other dimensions multiply beyond 63 bits.
    if len(shape) > 64 or math.prod(filter(None, shape)) >= 2**59:
        raise _bad(name, f"shape {shape} is too large")
    return shape


def _bad(name: str, text: str) -> ServingError:
    return ServingError(Kind.INVALID_ARGUMENT, f"tensor parsing error: {name}: {text}")


def bfloat16(name: str) -> Any:
    """NumPy's dtype for it. Raises ServingError that names the input where the package for it is absent."""
    try:
        import ml_dtypes
    except ImportError as error:
        raise _bad(name, "bfloat16 needs the package ml-dtypes, which TensorFlow brings") from error
    return np.dtype(ml_dtypes.bfloat16)


def _content(name: str, content: bytes, dtype: Any, count: int) -> Array:
    if len(content) != count * dtype.itemsize:
        raise _bad(name, f"{len(content)} bytes of tensor_content for {count} elements of {dtype}")
    return np.frombuffer(content, dtype)


def _filled(name: str, values: Array, count: int, room: Room) -> Array:
    """So many of the values, the last one again and again where they are fewer."""
    given = len(values)
    if given >= count:
        return values[:count]
    room.take(name, given, count, STRING_BYTES + len(values[-1]) if values.dtype == object else values.itemsize)
    if given == 1:  # takes no memory before the signature has agreed to the tensor
        return np.broadcast_to(values, count)
    return np.concatenate([values, np.broadcast_to(values[-1:], count - given)])


def _strings(name: str, proto: Any, count: int) -> Array:
    content = proto.tensor_content
    values = _split(name, content, count) if content else list(proto.string_val[:count]) or [b""]
    flat = np.empty(len(values), object)
    flat[:] = values
    return flat


def _split(name: str, content: bytes, count: int) -> list[bytes]:
    """Strings as TensorFlow puts them into tensor_content: the lengths of all, then the bytes of all."""
    ends, start = [0], 0
    for _ in range(min(count, len(content) + 1)):
        length, start = _read_varint(content, start)
        ends.append(ends[-1] + length)
    if start + ends[-1] != len(content):
        raise _bad(name, f"{len(content)} bytes of tensor_content are not {count} strings")
    return [content[start + begin : start + end] for begin, end in itertools.pairwise(ends)]


def _read_varint(content: bytes, position: int) -> tuple[int, int]:
    """A number of 32 bits and where the next begins; past the end where the bytes are none."""
    value = shift = 0
    while position < len(content) and shift < 35:
        value |= (content[position] & 127) << shift
        position, shift = position + 1, shift + 7
        if content[position - 1] < 128:
            return value, position
    return value, len(content) + 1


def _numbers(values: Any, number: int, dtype: Any) -> Array:
    """The values that are there, one at least."""
    pairs = 2 if number in (8, 18) else 1
    given = len(values) // pairs
    if not given:
        return np.zeros(1, dtype)
    if given > 16 and _field(number) in PACKED:
        return _read_packed(values, _field(number))
    # Fields of small integers are wider on the wire than the dtype: the upper bits are dropped, as in TensorFlow.
    wide = np.int64 if _field(number) in ("int_val", "half_val") else dtype if pairs == 1 else TRAVELS_AS[number]
    return np.array(values[: given * pairs], wide).astype(TRAVELS_AS.get(number, dtype), copy=False).view(dtype)


def _read_packed(values: Any, field: str) -> Array:
    """The values of a packed field, from its bytes: no Python float for each."""
    alone = TensorProto()
    getattr(alone, field).MergeFrom(values)
    dtype = np.dtype(PACKED[field][1])
    return np.frombuffer(alone.SerializeToString()[-len(values) * dtype.itemsize :], dtype)
