"""tf_model.h5 in the Hugging Face layout: the Keras weight file of transformers 4, whole or one of its shards."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from flowformers.checkpoint.names import from_tf
from flowformers.errors import CheckpointError
from flowformers.types import Array


class H5File:
    """One file. Kernels are shown transposed, as PyTorch has them."""

    def __init__(self, path: Path) -> None:
        import h5py

        try:
            self._file = h5py.File(path, "r")
        except OSError as error:
            raise CheckpointError(f"{path} can't be read as HDF5: {error}. Download or save it again") from error
        try:
            self._data = dict(self._entries())
        except KeyError as error:
            self._file.close()
            raise CheckpointError(f"{path} is not a Keras weight file in the Hugging Face layout: {error}") from error

    def _entries(self) -> Iterable[tuple[str, Any]]:
        """(PyTorch name, dataset). Head groups list the tied embeddings again; the base's own entry comes first."""
        seen: set[str] = set()
        for layer in _attribute(self._file, "layer_names"):
            for path, name in self._layer(layer):
                if name not in seen:
                    seen.add(name)
                    yield name, self._file[path]

    def _layer(self, layer: str) -> Iterable[tuple[str, str]]:
        group = self._file[layer]
        if not hasattr(group, "keys"):  # a shard lists its datasets as layers
            yield layer, from_tf(layer)
            return
        for variable in _attribute(group, "weight_names"):
            yield f"{layer}/{variable}", from_tf(variable.partition("/")[2])

    def names(self) -> Iterable[str]:
        """PyTorch names."""
        return self._data

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape in PyTorch's layout; the rank-3 kernels of transformers 4.2 and 4.3 as they are."""
        shape = tuple(self._data[name].shape)
        return shape[::-1] if self._is_kernel(name) else shape

    def read(self, name: str) -> Array:
        """The tensor as float32."""
        tensor = np.asarray(self._data[name], dtype=np.float32)
        return tensor.T if self._is_kernel(name) else tensor

    def _is_kernel(self, name: str) -> bool:
        dataset = self._data[name]
        return len(dataset.shape) == 2 and dataset.name.endswith("/kernel:0")

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def _attribute(group: Any, name: str) -> list[str]:
    """A list of names; Keras splits one over name0, name1, ... when it is larger than HDF5's limit for attributes."""
    if name in group.attrs:
        values = list(group.attrs[name])
    elif f"{name}0" in group.attrs:
        count = sum(1 for key in group.attrs if key.startswith(name) and key[len(name) :].isdigit())
        values = [value for index in range(count) for value in group.attrs[f"{name}{index}"]]
    else:
        raise KeyError(f"no attribute {name} at {group.name}")
    return [value.decode() if isinstance(value, bytes) else str(value) for value in values]
