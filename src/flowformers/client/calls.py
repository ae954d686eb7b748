"""What a client asks and what it gets back, without naming a protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from flowformers.errors import InvalidInput, Kind
from flowformers.types import Array

STRING = "string"


@dataclass(frozen=True)
class Target:
    """Which model: at most one of version and label; neither means the highest version available."""

    name: str
    version: int | None = None
    label: str | None = None

    def __post_init__(self) -> None:
        if not self.name:
            raise InvalidInput("expected the name of a model; got an empty one")
        if self.version is not None and self.label is not None:
            raise InvalidInput(f"expected version or label, not both; got {self.version} and {self.label!r}")


@dataclass(frozen=True)
class TensorInfo:
    """A tensor of a signature. dtype: NumPy's name, or "string"; shape: None for a free size, or for a free rank."""

    dtype: str
    shape: tuple[int | None, ...] | None

    def __str__(self) -> str:
        sizes = "..." if self.shape is None else ", ".join("?" if size is None else str(size) for size in self.shape)
        return f"{self.dtype} [{sizes}]"


@dataclass(frozen=True)
class Signature:
    """Named inputs and outputs of one way to call a model."""

    inputs: Mapping[str, TensorInfo]
    outputs: Mapping[str, TensorInfo]

    def __str__(self) -> str:
        return f"({_listed(self.inputs)}) -> ({_listed(self.outputs)})"


def _listed(tensors: Mapping[str, TensorInfo]) -> str:
    return ", ".join(f"{name}: {info}" for name, info in tensors.items())


@dataclass(frozen=True)
class Metadata:
    """The version that answered, and its signatures by name."""

    version: int
    signatures: Mapping[str, Signature]


@dataclass(frozen=True)
class VersionStatus:
    """A version the server knows. state: START, LOADING, AVAILABLE, UNLOADING or END; kind and message say why END."""

    version: int
    state: str
    kind: Kind = Kind.OK
    message: str = ""


class Label(NamedTuple):
    """A class with its probability (its value, for regression)."""

    label: str
    score: float


@dataclass(frozen=True)
class PredictCall:
    """Run a signature. outputs: the names wanted; empty for all. known: what the server said of the signature."""

    target: Target
    signature: str
    inputs: Mapping[str, Array]
    outputs: tuple[str, ...]
    known: Signature


@dataclass(frozen=True)
class MetadataCall:
    """Ask for the signatures."""

    target: Target


@dataclass(frozen=True)
class StatusCall:
    """Ask for the state of the versions."""

    target: Target


Call = PredictCall | MetadataCall | StatusCall
Outputs = dict[str, Array]
