"""Bulk scoring: a SavedModel over the rows of a Ray dataset, by workers that keep it loaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from flowformers.deploy.ray.library import library
from flowformers.errors import InvalidInput
from flowformers.serving.settings import Settings
from flowformers.types import Array


def score(
    dataset: Any,
    model_base_path: str | Path,
    *,
    signature: str = "text",
    columns: Mapping[str, str] | None = None,
    batch_size: int = 64,
    num_cpus: float = 1,
    concurrency: int | tuple[int, int] = 1,
) -> Any:
    """The dataset with a column for each output of a signature.

    columns: {input's name: dataset's column} where they differ. num_cpus: for each worker; TensorFlow gets as many
    threads. concurrency: how many workers, or (least, most). Raises InvalidInput where the dataset lacks a column; a
    worker raises NotFound where it finds no versions at model_base_path.
    """
    library("ray.data")
    wanted, present = set((columns or {}).values()), set(dataset.columns() or ())
    if not wanted <= present:
        raise InvalidInput(f"expected columns {sorted(wanted)} in the dataset; it has {sorted(present)}")
    arguments = (str(Path(model_base_path).absolute()), signature, dict(columns or {}), max(1, int(num_cpus)))
    return dataset.map_batches(
        Scorer,
        fn_constructor_args=arguments,
        batch_size=batch_size,
        num_cpus=num_cpus,
        concurrency=concurrency,
        batch_format="numpy",
    )


class Scorer:
    """A worker: batches of columns in, the same with the outputs' columns out."""

    def __init__(self, model_base_path: str, signature: str, columns: Mapping[str, str], threads: int) -> None:
        from flowformers.serving.dataplane import Dataplane, Target
        from flowformers.serving.repository import Repository
        from flowformers.serving.storage import require_model

        settings = Settings(model_base_path=Path(model_base_path), tensorflow_intra_op_parallelism=threads)
        require_model(settings)
        repository = Repository(settings)
        repository.start()
        self._dataplane, self._target = Dataplane(repository), Target(settings.model_name)
        self._signature, self._columns = signature, columns
        self._dtypes = self._dataplane.dtypes(self._target, signature)

    def __call__(self, batch: dict[str, Array]) -> dict[str, Array]:
        inputs = {name: self._column(batch, name) for name in self._dtypes}
        outputs = self._dataplane.predict(self._target, self._signature, inputs).outputs
        return batch | {name: _plain(array) for name, array in outputs.items()}

    def _column(self, batch: Mapping[str, Array], name: str) -> Array:
        column, dtype = batch[self._columns.get(name, name)], self._dtypes[name]
        if dtype != "object":
            return np.asarray(column).astype(dtype, casting="same_kind")
        strings = np.empty(len(column), object)
        strings[:] = [one if isinstance(one, bytes) else str(one).encode() for one in column]
        return strings


def _plain(array: Array) -> Array:
    """Strings as str, which is what Arrow has."""
    if array.dtype != object:
        return array
    strings = np.empty(array.size, object)
    strings[:] = [one.decode("utf-8", errors="replace") for one in array.reshape(-1)]
    return strings.reshape(array.shape)
