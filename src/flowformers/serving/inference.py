"""Classify and regress: signatures on serialized tf.Examples (TF Serving protocol, sections 7 and 10)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from flowformers.errors import Kind, ServingError
from flowformers.serving.servable import Signature
from flowformers.types import Array

CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"
INPUTS, CLASSES, SCORES, OUTPUTS = "inputs", "classes", "scores", "outputs"
DTYPES = {CLASSES: np.dtype(object), SCORES: np.dtype(np.float32)}


@dataclass(frozen=True)
class Classes:
    """labels: bytes [examples, classes]; scores: float32 of the same shape. What a signature has not is "" or 0."""

    labels: Array
    scores: Array


@dataclass(frozen=True)
class Values:
    """values: float32 [examples]."""

    values: Array


@dataclass(frozen=True)
class Plan:
    """A signature that fits its method, with the outputs that the method reads."""

    signature: Signature
    method_name: str
    outputs: tuple[str, ...]


def plan(signature: Signature, method_name: str, *, check_name: bool) -> Plan:
    """Raises ServingError where the signature is not one of that method. method_name: CLASSIFY or REGRESS."""
    wanted = {CLASSIFY: (CLASSES, SCORES), REGRESS: (OUTPUTS,)}.get(method_name)
    if wanted is None:
        raise ServingError(Kind.UNIMPLEMENTED, f"Unsupported signature method_name: {method_name}")
    if check_name and signature.method_name != method_name:
        raise _unfit(signature, f"expected method_name {method_name}; it is {signature.method_name}")
    if list(signature.inputs) != [INPUTS]:
        raise _unfit(signature, f"expected one input named {INPUTS!r}; it has {sorted(signature.inputs)}")
    found = tuple(name for name in wanted if name in signature.outputs)
    if not found or len(signature.outputs) > len(wanted):
        names = " and/or ".join(wanted)
        raise _unfit(signature, f"expected the outputs {names} and no others; it has {sorted(signature.outputs)}")
    return Plan(signature, method_name, found)


def _unfit(signature: Signature, text: str) -> ServingError:
    return ServingError(Kind.INVALID_ARGUMENT, f"signature {signature.name} can't be used so: {text}")


def join(plans: Sequence[Plan]) -> Signature:
    """One signature with the outputs of all, named "signature/output", so that the graph runs once."""
    first = plans[0].signature
    if any(one.signature.inputs != first.inputs for one in plans):
        raise ServingError(Kind.INVALID_ARGUMENT, "Input tensor must be the same for all Signatures.")
    outputs = {_output(one, name): one.signature.outputs[name] for one in plans for name in one.outputs}
    name = "+".join(f"{one.method_name}:{one.signature.name}" for one in plans)
    return Signature(name, first.inputs, outputs, first.dtypes, "", {})


def _output(plan: Plan, name: str) -> str:
    return f"{plan.signature.name}/{name}"


def as_tensor(examples: Sequence[bytes]) -> Array:
    """Serialized examples as strings [examples]. Raises ServingError where there are none."""
    if not examples:
        raise ServingError(Kind.INVALID_ARGUMENT, "Input is empty.")
    tensor = np.empty(len(examples), object)
    tensor[:] = examples
    return tensor


def result(plan: Plan, outputs: Mapping[str, Array], count: int) -> Classes | Values:
    """The outputs of a plan as its method's result for so many examples. Raises ServingError for other shapes."""
    found = {name: outputs[_output(plan, name)] for name in plan.outputs}
    if plan.method_name == REGRESS:
        return _values(found[OUTPUTS], count)
    for name, array in found.items():
        if array.ndim != 2 or len(array) != count or array.dtype != DTYPES[name]:
            expected = f"{'strings' if name == CLASSES else 'float32'} [{count}, classes]"
            raise _wrong(name, expected, array)
    shape = next(iter(found.values())).shape
    labels, scores = found.get(CLASSES, np.full(shape, b"", object)), found.get(SCORES, np.zeros(shape, np.float32))
    if labels.shape != scores.shape:
        raise _wrong(SCORES, f"the shape of {CLASSES}, {list(labels.shape)}", scores)
    return Classes(labels, scores)


def _values(array: Array, count: int) -> Values:
    if array.dtype != np.float32 or array.shape not in ((count,), (count, 1)):
        raise _wrong(OUTPUTS, f"float32 [{count}] or [{count}, 1]", array)
    return Values(array.reshape(-1))


def _wrong(name: str, expected: str, array: Array) -> ServingError:
    return ServingError(
        Kind.INVALID_ARGUMENT, f"Expected output {name} as {expected}; got {array.dtype} {list(array.shape)}"
    )
