"""model.safetensors, mapped into memory. Reference: https://github.com/huggingface/safetensors (format)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from flowformers.checkpoint.dtypes import widened
from flowformers.checkpoint.mapped import Mapped
from flowformers.checkpoint.names import from_tf
from flowformers.errors import CheckpointError
from flowformers.types import Array

DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "bfloat16", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U8": "u1", "BOOL": "?",
}  # fmt: skip


class SafetensorsFile:
    """One file. Keys written by TensorFlow (metadata format: tf) are translated to PyTorch's."""

    def __init__(self, path: Path) -> None:
        from safetensors import SafetensorError, safe_open

        self._path = path
        try:
            with safe_open(path, framework="np") as file:  # checks header, offsets and length
                self._from_tf = (file.metadata() or {}).get("format") == "tf"
                stored = list(file.keys())
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{path} can't be read as safetensors: {error}. Download or save it again") from error
        self._stored = {from_tf(key) if self._from_tf else key: key for key in stored}
        self._entries, self._start = _header(path)
        self._file = Mapped(path)

    def names(self) -> Iterable[str]:
        """PyTorch names."""
        return self._stored

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape in PyTorch's layout."""
        shape = tuple(self._entries[self._stored[name]]["shape"])
        return shape[::-1] if self._is_kernel(name) else shape

    def read(self, name: str) -> Array:
        """The tensor, a view of the file where no conversion is needed."""
        entry = self._entries[self._stored[name]]
        if entry["dtype"] not in DTYPES:
            raise CheckpointError(f"{self._path}: {name} has dtype {entry['dtype']}; known: {', '.join(DTYPES)}")
        begin, end = entry["data_offsets"]
        self._file.forget()
        raw = self._file.bytes[self._start + begin : self._start + end]
        tensor = widened(raw, DTYPES[entry["dtype"]]).reshape(entry["shape"])
        return tensor.T if self._is_kernel(name) else tensor

    def close(self) -> None:
        """Let go of the mapping."""
        del self._file

    def _is_kernel(self, name: str) -> bool:
        key = self._stored[name]
        return self._from_tf and key.removesuffix(":0").endswith("/kernel") and len(self._entries[key]["shape"]) == 2


def _header(path: Path) -> tuple[dict[str, dict[str, Any]], int]:
    """Entries by key, and where the data starts. The library has checked the file; it has no lazy read of bfloat16."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        entries = json.loads(file.read(length))
    entries.pop("__metadata__", None)
    return entries, 8 + length
