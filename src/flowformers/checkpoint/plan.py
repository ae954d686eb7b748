"""Which tensor of a checkpoint fills which weight, and a full account of what does not fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from flowformers.checkpoint.read import Checkpoint
from flowformers.errors import WeightsMismatch
from flowformers.types import Array

Kind = Literal["kernel", "table", "gamma", "beta", "bias"]
Mismatch = tuple[str, tuple[int, ...], tuple[int, ...]]


@dataclass(frozen=True)
class Parameter:
    """One weight of a model. file_name: PyTorch's name. shape: TensorFlow's layout (a kernel is [inputs, units]).

    required: a checkpoint without it can't be this model's. aliases: other names under which the tensor may stand,
    again or instead.
    """

    file_name: str
    kind: Kind
    shape: tuple[int, ...]
    required: bool
    aliases: tuple[str, ...] = ()

    @property
    def file_shape(self) -> tuple[int, ...]:
        """The shape as PyTorch stores it."""
        return self.shape[::-1] if self.kind == "kernel" else self.shape


@dataclass(frozen=True)
class Plan:
    """assignments: (index of a parameter, name of the tensor that fills it)."""

    assignments: list[tuple[int, str]]
    missing_keys: list[str]
    unexpected_keys: list[str]
    mismatched_keys: list[Mismatch]

    def loading_info(self) -> dict[str, Any]:
        """The account as output_loading_info returns it."""
        return {
            "loaded_keys": [name for _, name in self.assignments],
            "missing_keys": self.missing_keys,
            "unexpected_keys": self.unexpected_keys,
            "mismatched_keys": self.mismatched_keys,
        }


def plan(
    checkpoint: Checkpoint,
    parameters: Sequence[Parameter],
    *,
    base_prefix: str,
    ignore_mismatched_sizes: bool = False,
) -> Plan:
    """Match parameters and tensors by name.

    A checkpoint of the bare encoder has no prefix; that is decided once, over all of its names. Raises WeightsMismatch
    that lists every required tensor that is missing and, unless ignored, every one of another shape.
    """
    names = set(checkpoint.names())
    prefixed = any(name.startswith(base_prefix + ".") for name in names)
    assignments: list[tuple[int, str]] = []
    missing: list[Parameter] = []
    mismatched: list[Mismatch] = []
    for index, parameter in enumerate(parameters):
        found = _find(parameter, names, "" if prefixed else base_prefix + ".")
        if found is None:
            missing.append(parameter)
        elif not fits(checkpoint.shape(found), parameter):
            mismatched.append((parameter.file_name, checkpoint.shape(found), parameter.file_shape))
        else:
            assignments.append((index, found))
    _refuse(checkpoint, missing, [] if ignore_mismatched_sizes else mismatched)
    known = {name for _, name in assignments} | {_unprefixed(name, base_prefix, prefixed) for name, *_ in mismatched}
    known |= {alias for parameter in parameters for alias in parameter.aliases}
    unexpected = sorted(names - known)
    return Plan(assignments, [parameter.file_name for parameter in missing], unexpected, mismatched)


def _find(parameter: Parameter, names: set[str], drop: str) -> str | None:
    candidates = (parameter.file_name, *parameter.aliases)
    return next((name for candidate in candidates if (name := candidate.removeprefix(drop)) in names), None)


def _unprefixed(name: str, base_prefix: str, prefixed: bool) -> str:
    return name if prefixed else name.removeprefix(base_prefix + ".")


def fits(shape: tuple[int, ...], parameter: Parameter) -> bool:
    """Equal shapes, or the rank-3 attention kernels and rank-2 biases that transformers 4.2 and 4.3 wrote."""
    if shape == parameter.file_shape:
        return True
    return len(shape) == len(parameter.shape) + 1 and int(np.prod(shape)) == int(np.prod(parameter.shape))


def _refuse(checkpoint: Checkpoint, missing: list[Parameter], mismatched: list[Mismatch]) -> None:
    lost = [parameter.file_name for parameter in missing if parameter.required]
    parts = []
    if lost:
        parts.append(f"{len(lost)} missing: {', '.join(lost)}")
    if mismatched:
        shapes = (f"{name} is {list(got)} in the file, {list(wanted)} in the model" for name, got, wanted in mismatched)
        parts.append(f"{len(mismatched)} of another shape: {'; '.join(shapes)}")
    if parts:
        advice = (
            "ignore_mismatched_sizes=True starts those afresh" if mismatched else "is it a checkpoint of this family?"
        )
        raise WeightsMismatch(f"{checkpoint.path}: {'. '.join(parts)}. {advice}")


def read_parameter(checkpoint: Checkpoint, name: str, parameter: Parameter) -> Array:
    """The tensor for a parameter, in TensorFlow's layout and float32 unless it is integer.

    Raises WeightsMismatch where another tensor stands under one of the parameter's other names.
    """
    tensor = checkpoint.read(name)
    _refuse_untied(checkpoint, name, tensor, parameter)
    if tensor.shape != parameter.file_shape:
        # Rank-3 kernels come from a TensorFlow file: their element order is the kernel's own, nothing to transpose.
        return tensor.reshape(parameter.shape)
    return tensor.T if parameter.kind == "kernel" else tensor


def _refuse_untied(checkpoint: Checkpoint, name: str, tensor: Array, parameter: Parameter) -> None:
    for other in parameter.aliases:
        present = other != name and other in checkpoint.names()
        if present and not np.array_equal(checkpoint.read(other), tensor, equal_nan=True):
            raise WeightsMismatch(
                f"{checkpoint.path}: expected {other} to be equal to {name}, to which the model ties it; it is not. "
                "Output layers with weights of their own (tie_word_embeddings false) are not supported: load the base "
                "model or another head, or take the tensor out of the file to go on with the tied one"
            )
