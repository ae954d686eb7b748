"""Reload what was written and compare its answers with the model's."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from flowformers.errors import VerificationFailed
from flowformers.export.functions import answers_of, as_traced
from flowformers.export.samples import Samples
from flowformers.types import Array

# Absolute, per unit of the answer's own scale: the graph's optimiser may reorder float32 sums.
TOLERANCE = 1e-5


def verify(folder: Path, functions: dict[str, Any], samples: Samples, *, coarse: bool = False) -> None:
    """Run the signatures of the SavedModel, and the functions they were made from as they were traced.

    coarse: the model's precision is not float32, so that what TensorFlow's optimiser makes of it shows in its answers;
    the functions are then optimised too.
    Raises VerificationFailed that names the signature, the output, the difference and the folder, which is kept.
    """
    with ThreadPoolExecutor(1) as pool, nullcontext() if coarse else as_traced():
        loading = pool.submit(tf.saved_model.load, str(folder))
        expected = {name: answers_of(functions[name], inputs) for name, inputs in samples.items()}
        loaded = loading.result()
    # A first call is TensorFlow's optimiser, which uses one core.
    with ThreadPoolExecutor(2) as pool:
        answers = pool.map(lambda name: loaded.signatures[name](**samples[name]), samples)
        for name, got in zip(samples, answers, strict=True):
            for output, value in expected[name].items():
                _compare(f"{name}/{output}", np.asarray(value), np.asarray(got[output]), folder)


def _compare(place: str, expected: Array, got: Array, folder: Path) -> None:
    if expected.shape != got.shape:
        raise VerificationFailed(f"{place} has shape {got.shape} in {folder}; the model gives {expected.shape}")
    if not np.issubdtype(expected.dtype, np.floating):
        difference = 0.0 if np.array_equal(expected, got) else 1.0
    else:
        finite = np.abs(expected) < np.finfo(expected.dtype).max / 2
        scale = max(1.0, float(np.max(np.abs(expected[finite]), initial=0.0)))
        difference = float(np.max(np.abs(expected[finite] - got[finite]), initial=0.0)) / scale
    if not difference <= TOLERANCE:
        raise VerificationFailed(
            f"{place} differs by {difference:.3g} from the model (at most {TOLERANCE:g} is rounding); "
            f"the SavedModel was kept for inspection in {folder} and replaced nothing"
        )
