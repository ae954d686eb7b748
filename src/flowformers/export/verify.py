"""Reload what was written and compare its answers with the model's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from flowformers.errors import VerificationFailed
from flowformers.types import Array

# Absolute, per unit of the answer's own scale: the graph's optimiser may reorder float32 sums.
TOLERANCE = 1e-5
FREE_SIZE = 3
TEXTS = (b"I love it.", b"", b"Not one of them, \xe2\x80\xa6 really?")


def verify(folder: Path, functions: dict[str, Any], model: Any) -> None:
    """Run every signature of the SavedModel and the function it was made from on the same inputs.

    Raises VerificationFailed that names the signature, the output, the difference and the folder, which is kept.
    """
    loaded = tf.saved_model.load(str(folder))
    for name, function in functions.items():
        inputs = sample_inputs(function, model.config.vocab_size)
        expected = _answers(function, inputs)
        got = loaded.signatures[name](**inputs)
        for output, value in expected.items():
            _compare(f"{name}/{output}", np.asarray(value), np.asarray(got[output]), folder)


def _answers(function: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """A concrete function takes what it was traced with: keywords, or one dict."""
    args, _ = function.structured_input_signature
    result = function(inputs) if args and isinstance(args[0], dict) else function(**inputs)
    return (
        dict(result) if isinstance(result, dict) else {f"output_{i}": x for i, x in enumerate(tf.nest.flatten(result))}
    )


def sample_inputs(function: Any, vocab_size: int) -> dict[str, Any]:
    """A fixed request by the specs: FREE_SIZE for free axes, ids within the vocabulary, a padded last row."""
    args, kwargs = function.structured_input_signature
    specs = dict(args[0]) if args and isinstance(args[0], dict) else {spec.name: spec for spec in args} | dict(kwargs)
    return {name: tf.constant(_sample(name, spec, vocab_size)) for name, spec in specs.items()}


def _sample(name: str, spec: Any, vocab_size: int) -> Array:
    shape = [FREE_SIZE if size is None else size for size in spec.shape]
    random = np.random.default_rng(7)
    if spec.dtype == tf.string:
        return np.resize(np.array(TEXTS, object), shape)
    if spec.dtype.is_floating:
        return random.normal(size=shape).astype(spec.dtype.as_numpy_dtype)
    values = {
        "input_ids": random.integers(0, vocab_size, shape),
        "attention_mask": np.ones(shape),
        "position_ids": np.broadcast_to(np.arange(shape[-1]), shape),
    }.get(name, np.zeros(shape))
    if name == "attention_mask":
        values[-1, ..., -1] = 0
    return values.astype(spec.dtype.as_numpy_dtype)


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
