"""How a graph is stored and run: the choices, and the context in which signatures are traced accordingly."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from flowformers.errors import ExportError, InvalidInput
from flowformers.export.accelerator import compiled
from flowformers.export.batching import Batching
from flowformers.models.bodies import inline, one_function
from flowformers.prepared import Form

Weights = Literal["constants", "variables"]
Device = Literal["cpu", "gpu"]
Attention = Literal["together", "by_length"]
# TensorFlow's limit for a saved_model.pb, less room for the graph.
LIMIT = 2**31 - 2**26
BYTES = {"fp32": 4, "bf16": 2, "fp16": 2, "int8": 1}


@dataclass(frozen=True)
class Graph:
    """weights: variables, or constants of the graph. device gpu: compiled by XLA, lengths and batch sizes by powers of
    two. batching: TensorFlow's batch scheduler inside the signature. attention: of the rows of a request together, or
    by length, the long ones apart from the short ones, as batching always has it; one row alone is slower by that.
    """

    weights: Weights = "variables"
    device: Device = "cpu"
    batching: Batching | None = None
    attention: Attention = "together"

    def __post_init__(self) -> None:
        for name, value, known in (
            ("weights", self.weights, ("constants", "variables")),
            ("device", self.device, ("cpu", "gpu")),
            ("attention", self.attention, ("together", "by_length")),
        ):
            if value not in known:
                raise InvalidInput(f"expected {name} of {', '.join(map(str, known))}; got {value!r}")
        if self.batching and self.device == "gpu":
            raise InvalidInput("in-graph batching and device gpu can't be combined; use the server's batching")
        if self.by_length and self.device == "gpu":
            raise InvalidInput("attention by length and device gpu can't be combined: there padding is computed")

    @property
    def by_length(self) -> bool:
        """Whether long and short sequences are attended to apart."""
        return self.attention == "by_length" or self.batching is not None


DEFAULT = Graph()


def check(model: Any, graph: Graph) -> None:
    """Raises InvalidInput or ExportError where the model can't be stored and run that way."""
    if model.precision == "int8" and graph.device == "gpu":
        raise InvalidInput("precision int8 is for CPUs: use bf16 or fp16 with device gpu, or device cpu")
    size = _constant_bytes(model, everything=graph.weights == "constants")
    if size >= LIMIT:
        raise ExportError(
            f"weights as constants would take {size / 1e9:.1f} GB; a saved_model.pb holds 2 GB. "
            "Use weights='variables' and another precision than int8"
        )


def _constant_bytes(model: Any, *, everything: bool) -> int:
    """About how much the constants take: int8 has its kernels as constants in any case."""
    blocks = sum(weight.shape.num_elements() for layer in model.base_model.layer for weight in _variables(layer))
    total = sum(weight.shape.num_elements() for weight in _variables(model))
    inside = BYTES[model.precision] * blocks if everything or model.precision == "int8" else 0
    return inside + (4 * (total - blocks) if everything else 0)


def _variables(layer: Any) -> list[Any]:
    return [weight.value for weight in layer.weights]


@contextmanager
def tracing(model: Any, graph: Graph) -> Iterator[list[Any]]:
    """Signatures traced here share one function of the model, stored and run as `graph` says. Yields the variables
    that are made for it."""
    wrap = compiled if graph.device == "gpu" else graph.batching or inline
    check(model, graph)
    form = Form(constants=graph.weights == "constants", accelerated=graph.device == "gpu", by_length=graph.by_length)
    with one_function(form, wrap) as variables:
        yield variables
