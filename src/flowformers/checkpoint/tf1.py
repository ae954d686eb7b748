"""Google's BERT checkpoints of TensorFlow 1 (bert_model.ckpt.*), by TensorFlow's own reader.

Names follow google-research/bert modeling.py and run_classifier.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from flowformers.errors import CheckpointError
from flowformers.types import Array

OPTIMISER = re.compile(r"(^|/)(adam_[mv]|AdamWeightDecayOptimizer(_1)?|global_step|beta[12]_power)$")
MODULES = {
    "output_weights": "classifier.weight",
    "output_bias": "classifier.bias",
    "cls/predictions/output_bias": "cls.predictions.bias",
    "cls/seq_relationship/output_weights": "cls.seq_relationship.weight",
    "cls/seq_relationship/output_bias": "cls.seq_relationship.bias",
}
LAST = {"kernel": "weight", "gamma": "weight", "beta": "bias"}


def from_tf1(variable: str) -> str:
    """A variable of Google's code -> PyTorch's name. Tables there are variables of their own name."""
    if variable in MODULES:
        return MODULES[variable]
    head, _, last = variable.rpartition("/")
    last = f"{last}.weight" if last.endswith("_embeddings") else LAST.get(last, last)
    return re.sub(r"layer_(\d+)", r"layer.\1", f"{head}/{last}").replace("/", ".")


class TF1Checkpoint:
    """One checkpoint, its optimiser's variables left out. Kernels are shown transposed, as PyTorch has them."""

    def __init__(self, index: Path) -> None:
        import tensorflow as tf

        prefix = str(index).removesuffix(".index")
        try:
            self._reader: Any = tf.train.load_checkpoint(prefix)
        except (tf.errors.OpError, ValueError, RuntimeError) as error:
            raise CheckpointError(
                f"{index} can't be read as a TensorFlow checkpoint: {error}. Its .data file must stand beside it"
            ) from error
        self._shapes = self._reader.get_variable_to_shape_map()
        self._names = {from_tf1(name): name for name in self._shapes if not OPTIMISER.search(name)}

    def names(self) -> Iterable[str]:
        """PyTorch names."""
        return self._names

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape in PyTorch's layout."""
        shape = tuple(self._shapes[self._names[name]])
        return shape[::-1] if self._is_kernel(name) else shape

    def read(self, name: str) -> Array:
        """The tensor as float32."""
        try:
            tensor = np.asarray(self._reader.get_tensor(self._names[name]), dtype=np.float32)
        except Exception as error:  # TensorFlow's reader raises whatever the damage suggests
            raise CheckpointError(f"{self._names[name]} can't be read: {error}") from error
        return tensor.T if self._is_kernel(name) else tensor

    def _is_kernel(self, name: str) -> bool:
        return str(self._names[name]).endswith("/kernel")

    def close(self) -> None:
        """Let go of the reader."""
        self._reader = None
