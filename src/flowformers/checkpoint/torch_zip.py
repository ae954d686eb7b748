"""pytorch_model.bin without PyTorch: the zip that torch.save writes, read by an unpickler that knows only tensors."""

from __future__ import annotations

import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flowformers.checkpoint.dtypes import widened
from flowformers.checkpoint.mapped import Mapped
from flowformers.errors import CheckpointError, UnsafePickle
from flowformers.types import Array

STORAGES = {
    "DoubleStorage": ("<f8", 8), "FloatStorage": ("<f4", 4), "HalfStorage": ("<f2", 2),
    "BFloat16Storage": ("bfloat16", 2),
    "LongStorage": ("<i8", 8), "IntStorage": ("<i4", 4), "ShortStorage": ("<i2", 2), "CharStorage": ("i1", 1),
    "ByteStorage": ("u1", 1), "BoolStorage": ("?", 1),
}  # fmt: skip


@dataclass(frozen=True)
class StorageType:
    """What stands in a pickle for torch.FloatStorage and so on."""

    dtype: str
    size: int


@dataclass(frozen=True)
class Stored:
    """A tensor that has not been read: where its numbers lie. offset and stride count elements."""

    storage: StorageType
    key: str
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


def _tensor(storage: tuple[StorageType, str], offset: int, shape: Any, stride: Any, *_: Any) -> Stored:
    return Stored(storage[0], storage[1], int(offset), tuple(shape), tuple(stride))


def _parameter(tensor: Stored, *_: Any) -> Stored:
    return tensor


ALLOWED: Mapping[tuple[str, str], Callable[..., Any] | type | StorageType] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    **{("torch", name): StorageType(*form) for name, form in STORAGES.items()},
}


class TensorUnpickler(pickle.Unpickler):
    """Knows the few globals that a state dict needs; any other is refused before it is even imported."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise UnsafePickle(
                f"the pickle asks for {module}.{name}; only tensors are allowed, and nothing of it was run. "
                "If you trust the file, convert it to safetensors where it was made"
            )
        return ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> tuple[StorageType, str]:
        kind, storage, key = pid[0], pid[1], pid[2]
        if kind != "storage" or not isinstance(storage, StorageType):
            raise UnsafePickle(f"expected a storage in the pickle; got {kind!r}")
        return storage, str(key)


class TorchZip:
    """One file, its tensors mapped from the archive's stored entries."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError) as error:
            raise CheckpointError(
                f"{path} is not a whole archive of torch.save: {error}. Files of PyTorch before 1.6 must be saved "
                "again with a newer PyTorch; a broken download must be repeated"
            ) from error
        self._file = Mapped(path)
        self._tensors, self._root = self._read_index()

    def _read_index(self) -> tuple[dict[str, Stored], str]:
        index = next((name for name in self._zip.namelist() if name.endswith("data.pkl")), None)
        if index is None:
            raise CheckpointError(f"expected data.pkl in {self._path}, as torch.save writes it; there is none")
        try:
            with self._zip.open(index) as file:
                content = TensorUnpickler(file).load()
        except UnsafePickle as error:
            raise UnsafePickle(f"{self._path}: {error}") from None
        except Exception as error:  # a malformed pickle can raise anything; nothing foreign was called
            raise CheckpointError(f"{self._path} holds a pickle that can't be read: {error!r}") from error
        state = content.get("state_dict", content) if isinstance(content, dict) else None
        if not isinstance(state, dict):
            raise CheckpointError(f"expected a state dict in {self._path}; got {type(content).__name__}")
        return {str(name): value for name, value in state.items() if isinstance(value, Stored)}, index.removesuffix(
            "data.pkl"
        )

    def names(self) -> Iterable[str]:
        """PyTorch names."""
        return self._tensors

    def shape(self, name: str) -> tuple[int, ...]:
        """The tensor's shape."""
        return self._tensors[name].shape

    def read(self, name: str) -> Array:
        """The tensor, a view of the file where no conversion is needed."""
        stored = self._tensors[name]
        self._file.forget()
        numbers = self._storage(stored)
        extent = (
            1 + stored.offset + sum((size - 1) * step for size, step in zip(stored.shape, stored.stride, strict=True))
        )
        if 0 not in stored.shape and (extent > numbers.size or stored.offset < 0 or min(stored.stride, default=0) < 0):
            raise CheckpointError(f"{self._path}: {name} reaches beyond its storage; the file is damaged")
        steps = tuple(step * numbers.itemsize for step in stored.stride)
        return np.lib.stride_tricks.as_strided(numbers[stored.offset :], stored.shape, steps, writeable=False)

    def _storage(self, stored: Stored) -> Array:
        entry = f"{self._root}data/{stored.key}"
        try:
            info = self._zip.getinfo(entry)
        except KeyError:
            raise CheckpointError(f"{self._path} lacks {entry}; the file is damaged") from None
        if info.compress_type != zipfile.ZIP_STORED:
            return widened(np.frombuffer(self._zip.read(info), np.uint8), stored.storage.dtype)
        start = self._data_start(info)
        if start + info.file_size > self._file.bytes.size:
            raise CheckpointError(f"{self._path} ends inside {entry}; the file is truncated")
        return widened(self._file.bytes[start : start + info.file_size], stored.storage.dtype)

    def _data_start(self, info: zipfile.ZipInfo) -> int:
        """Where an entry's bytes begin: behind its local header, whose extra field torch.save pads for alignment."""
        header = bytes(self._file.bytes[info.header_offset : info.header_offset + 30])
        name, extra = struct.unpack("<HH", header[26:30])
        return int(info.header_offset + 30 + name + extra)

    def close(self) -> None:
        """Let go of the archive."""
        self._zip.close()
        del self._file
