"""Whether rows may be padded behind their attention mask without a change of the answer, found out by trying."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from flowformers.serving.runs import Runs
from flowformers.types import Array

MASK, IDS = "attention_mask", "input_ids"
SHORT, LONG = 3, 5
TOLERANCE = 1e-5
Tensors = Mapping[str, Array]


@dataclass(frozen=True)
class Padding:
    """axes: for each output, those that are as long as the input."""

    axes: tuple[tuple[int, ...], ...]

    def takes(self, feeds: Tensors) -> bool:
        """Whether these are token rows of one length."""
        shapes = {array.shape for array in feeds.values()}
        shape = next(iter(shapes))
        return len(shapes) == 1 and len(shape) == 2 and shape[1] > 0

    def cut(self, outputs: Sequence[Array], length: int) -> list[Array]:
        """Outputs of a padded batch as they are without padding."""
        return [cut(output, axes, length) for output, axes in zip(outputs, self.axes, strict=True)]


def cut(output: Array, axes: Sequence[int], length: int) -> Array:
    """The first so many of the axes."""
    if not axes:
        return output
    return output[tuple(slice(length) if axis in axes else slice(None) for axis in range(output.ndim))]


def find_padding(runs: Runs, feeds: Tensors, fetches: Sequence[str]) -> Padding | None:
    """None where there is no mask, where padding changes an answer by more than TOLERANCE, or the trial fails."""
    mask = next((name for name in feeds if _is(name, MASK)), None)
    if mask is None or any(array.dtype.kind != "i" or array.ndim != 2 for array in feeds.values()):
        return None
    long, short = _rows(feeds, mask, LONG, LONG), _rows(feeds, mask, SHORT, SHORT)
    padded = _rows(feeds, mask, SHORT, LONG)
    both = {name: np.concatenate([long[name], padded[name]]) for name in feeds}
    try:
        alone, other, joint = (runs.call(rows, fetches, 0) for rows in (short, long, both))
    except (tf.errors.OpError, TypeError, ValueError):
        return None
    axes = [_axes(a, b) for a, b in zip(alone, other, strict=True)]
    found = Padding(tuple(axis for axis in axes if axis is not None))
    if None in axes or any(len(output) != 2 for output in joint):
        return None
    same = _agree(alone, found.cut([output[1:] for output in joint], SHORT)) and _agree(other, [o[:1] for o in joint])
    return found if same else None


def _is(tensor_name: str, input_name: str) -> bool:
    """Whether a placeholder is an input's: TensorFlow calls it SIGNATURE_INPUT:0."""
    return tensor_name.split(":")[0].endswith(input_name)


def _rows(feeds: Tensors, mask: str, real: int, width: int) -> Tensors:
    """One row of so many real tokens in so many columns."""
    row = (np.arange(width) < real)[None]
    ids = row * (np.arange(width) % 2)
    values = {name: row if name == mask else ids if _is(name, IDS) else 0 * row for name in feeds}
    return {name: value.astype(feeds[name].dtype) for name, value in values.items()}


def _axes(short: Array, long: Array) -> tuple[int, ...] | None:
    """The axes that grow with the input; None where the shapes say otherwise."""
    if short.ndim != long.ndim or not short.ndim:
        return None
    axes = tuple(axis for axis in range(1, short.ndim) if (short.shape[axis], long.shape[axis]) == (SHORT, LONG))
    fixed = all(short.shape[axis] == long.shape[axis] for axis in range(short.ndim) if axis not in axes)
    return axes if fixed else None


def _agree(first: Sequence[Array], second: Sequence[Array]) -> bool:
    return all(
        a.shape == b.shape and (np.array_equal(a, b) if a.dtype.kind in "OiubSU" else np.allclose(a, b, 0, TOLERANCE))
        for a, b in zip(first, second, strict=True)
    )
