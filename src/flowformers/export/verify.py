"""Reload what was written and compare its answers with the model's."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from flowformers.errors import VerificationFailed
from flowformers.export.functions import answers_of, as_traced
from flowformers.export.samples import Samples
from flowformers.types import Array

log = logging.getLogger("flowformers")

# Absolute, per unit of the answer's own scale: the graph's optimiser may reorder float32 sums.
TOLERANCE = 1e-5


def verify(folder: Path, functions: dict[str, Any], samples: Samples, *, optimised: bool) -> None:
    """Run the signatures of the SavedModel and the functions they were made from, both op by op as they were traced.

    optimised: run the first signature also as a server does, with what TensorFlow's optimiser makes of it. The others
    share the model's body, and a first call of each takes the optimiser longer than all the rest; and in a reduced
    precision its other order of sums shows, where a number falls on the other side of a step.
    Where the model itself gives NaN, a warning names the output: masks have -inf or the lowest number, but never that.
    Raises VerificationFailed that names the signature, the output, the difference and the folder, which is kept.
    """
    with as_traced(), ThreadPoolExecutor(2) as pool:  # a first call spends its time outside Python's lock
        loading = pool.submit(tf.saved_model.load, str(folder))
        answers = pool.map(lambda name: answers_of(functions[name], samples[name]), samples)
        expected = dict(zip(samples, answers, strict=True))
        signatures = loading.result().signatures
        _tell_nan(expected)

        def check(name: str) -> None:
            _compare_all(name, expected[name], signatures[name](**samples[name]), folder)

        list(pool.map(check, samples))  # raises what a check raises
    if optimised and samples:
        check(next(iter(samples)))


def _tell_nan(answers: Mapping[str, Mapping[str, Any]]) -> None:
    found = [f"{name}/{output}" for name, given in answers.items() for output, x in given.items() if has_nan(x)]
    if found:
        log.warning(
            "NaN in the model's answers, and so in the SavedModel's: %s. Look for NaN in its weights, or for numbers "
            "that its precision can't hold", ", ".join(found),
        )  # fmt: skip


def has_nan(values: Any) -> bool:
    """Whether a tensor of any dtype holds NaN."""
    return values.dtype.is_floating and bool(tf.reduce_any(tf.math.is_nan(values)))


def _compare_all(name: str, expected: Mapping[str, Any], got: Mapping[str, Any], folder: Path) -> None:
    for output, value in expected.items():
        _compare(f"{name}/{output}", np.asarray(value), np.asarray(got[output]), folder)


def _compare(place: str, expected: Array, got: Array, folder: Path) -> None:
    if expected.shape != got.shape:
        raise VerificationFailed(f"{place} has shape {got.shape} in {folder}; the model gives {expected.shape}")
    kept = f"the SavedModel was kept for inspection in {folder} and replaced nothing"
    numbers = _numbers(expected)
    others = ~numbers & (expected != got) & ~(_is_nan(expected) & _is_nan(got))
    if others.any():
        raise VerificationFailed(f"{place} has {got[others][0]} where the model gives {expected[others][0]}; {kept}")
    if not numbers.any():
        return
    scale = max(1.0, float(np.max(np.abs(expected[numbers]))))
    difference = float(np.max(np.abs(expected[numbers] - got[numbers]))) / scale
    if not difference <= TOLERANCE:
        raise VerificationFailed(
            f"{place} differs by {difference:.3g} from the model (at most {TOLERANCE:g} is rounding); {kept}"
        )


def _numbers(values: Array) -> Array:
    """Where there are sums that may be rounded: not integers, strings, NaN, infinity, or a mask's lowest number."""
    if not np.issubdtype(values.dtype, np.floating):
        return np.zeros(values.shape, bool)
    return np.asarray(np.abs(values) < np.finfo(values.dtype).max / 2)


def _is_nan(values: Array) -> Array:
    return np.asarray(values != values)  # of any dtype, strings too
