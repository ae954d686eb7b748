"""What both protocols do, without knowing either: names and arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flowformers.errors import Kind, ServingError
from flowformers.serving.lifecycle import Status
from flowformers.serving.repository import Repository
from flowformers.serving.servable import Servable, Signature
from flowformers.types import Array


@dataclass(frozen=True)
class Target:
    """Which model: at most one of version and label; neither means the highest version available."""

    name: str
    version: int | None = None
    label: str | None = None


@dataclass(frozen=True)
class Answer:
    """Outputs with the version that gave them."""

    outputs: Mapping[str, Array]
    version: int


class Dataplane:
    """Predict, metadata and status on a repository."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def dtypes(self, target: Target, signature_name: str) -> Mapping[str, str]:
        """The inputs of a signature with NumPy dtype names. Raises ServingError."""
        with self._repository.use(target.name, target.version, target.label) as servable:
            return _signature(servable, signature_name, Kind.INVALID_ARGUMENT, REST_UNKNOWN).dtypes

    def predict(
        self,
        target: Target,
        signature_name: str,
        inputs: Mapping[str, Array],
        *,
        output_filter: Sequence[str] = (),
    ) -> Answer:
        """Run a signature. Raises ServingError for unknown names, wrong inputs, and what the graph refuses."""
        with self._repository.use(target.name, target.version, target.label) as servable:
            signature = _signature(servable, signature_name, Kind.FAILED_PRECONDITION, GRPC_UNKNOWN)
            _check_inputs(signature, inputs)
            outputs = _outputs(signature, output_filter)
            return Answer(servable.run(signature, inputs, outputs), servable.version)

    def metadata(self, target: Target) -> tuple[int, dict[str, Any]]:
        """The version and its SignatureDefs by name."""
        with self._repository.use(target.name, target.version, target.label) as servable:
            return servable.version, servable.signature_defs

    def status(self, target: Target) -> list[Status]:
        """Every version, or the one asked for; a label is ignored, as TensorFlow Serving does."""
        return self._repository.statuses(target.name, target.version)


REST_UNKNOWN = 'Serving signature name: "{}" not found in signature def'
GRPC_UNKNOWN = 'Serving signature key "{}" not found.'


def _signature(servable: Servable, name: str, kind: Kind, text: str) -> Signature:
    found = servable.signature(name)
    if found is None:
        raise ServingError(kind, text.format(name))
    return found


def _check_inputs(signature: Signature, inputs: Mapping[str, Array]) -> None:
    missing = sorted(set(signature.inputs) - set(inputs))
    extra = sorted(set(inputs) - set(signature.inputs))
    if len(inputs) != len(signature.inputs):
        raise ServingError(
            Kind.INVALID_ARGUMENT,
            f"input size does not match signature: {len(inputs)}!={len(signature.inputs)} "
            f"Sent extra: {{{','.join(extra)}}}. Missing but required: {{{','.join(missing)}}}.",
        )
    if missing:
        raise ServingError(
            Kind.INVALID_ARGUMENT,
            f"Signature input alias: {missing[0]}(feed name: {signature.inputs[missing[0]]}) not found in request",
        )


def _outputs(signature: Signature, wanted: Sequence[str]) -> list[str]:
    if not wanted:
        return list(signature.outputs)
    for index, name in enumerate(wanted):
        if name not in signature.outputs:
            raise ServingError(Kind.INVALID_ARGUMENT, f"output tensor alias not found in signature: {name}")
        if name in wanted[:index]:
            raise ServingError(Kind.INVALID_ARGUMENT, f"duplicate output tensor alias: {name}")
    return list(wanted)
