"""Write weights: model.safetensors, or tf_model.h5 as transformers 4 TensorFlow reads it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from flowformers.checkpoint.names import to_tf
from flowformers.checkpoint.plan import Parameter
from flowformers.errors import ExportError
from flowformers.types import Array

Tensors = Iterable[tuple[Parameter, Array]]
ATTRIBUTE_LIMIT = 64512  # bytes; HDF5 keeps an attribute in the object's header
# Layers whose group lists the embeddings again, because transformers ties the output to them.
TIED_LAYERS = ("mlm___cls", "lm_head", "generator_lm_head", "vocab_projector")
KERAS_VERSION = "2.15.0"  # of the legacy Keras whose layout this is


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` that takes its place when the block ends well. Raises ExportError on OSError."""
    temporary: Path | None = None
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        raise ExportError(
            f"could not write {path}: {error.strerror or error}. What stood there is unchanged"
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_safetensors(path: Path, tensors: Tensors) -> None:
    """Write PyTorch's names and layout."""
    from safetensors.numpy import save_file

    arrays = {
        parameter.file_name: np.ascontiguousarray(array.T if parameter.kind == "kernel" else array)
        for parameter, array in tensors
    }
    with replacing(path) as temporary:
        save_file(arrays, temporary, metadata={"format": "pt"})


def write_h5(path: Path, tensors: Tensors, *, model_name: str) -> None:
    """Write the Hugging Face layout: a group for each top-level layer, full variable names below it.

    model_name: the first component of every variable name (tf_bert_model); readers drop it.
    """
    import h5py

    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        layers: dict[str, list[str]] = {}
        for parameter, array in tensors:
            variable = to_tf(parameter.file_name, parameter.kind)
            layer = variable.partition("/")[0]
            full = f"{model_name}/{variable}"
            file.create_dataset(f"{layer}/{full}", data=array, dtype="float32")
            layers.setdefault(layer, []).append(full)
        _tie(file, layers)
        _describe(file, layers)


def _tie(file: Any, layers: dict[str, list[str]]) -> None:
    """Hard links: readers find the tables in both groups, the file holds them once."""
    shared = [(layer, full) for layer, names in layers.items() for full in names if full.split("/")[2] == "embeddings"]
    for tied in layers.keys() & TIED_LAYERS:
        for layer, full in shared:
            file[f"{tied}/{full}"] = file[f"{layer}/{full}"]
            layers[tied].append(full)


def _describe(file: Any, layers: dict[str, list[str]]) -> None:
    file.attrs["backend"] = b"tensorflow"
    file.attrs["keras_version"] = KERAS_VERSION.encode()
    _names(file, "layer_names", list(layers))
    for layer, names in layers.items():
        _names(file[layer], "weight_names", names)
    file.create_group("top_level_model_weights").attrs["weight_names"] = np.zeros((0,))


def _names(group: Any, name: str, values: list[str]) -> None:
    encoded = np.array([value.encode() for value in values])
    chunks = np.array_split(encoded, max(1, -(-encoded.nbytes // ATTRIBUTE_LIMIT)))
    for index, chunk in enumerate(chunks):
        group.attrs[name if len(chunks) == 1 else f"{name}{index}"] = chunk
