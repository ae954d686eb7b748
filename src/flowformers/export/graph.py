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

Weights = Literal["constants", "variables"]
Device = Literal["cpu", "gpu"]
# TensorFlow's limit for a saved_model.pb, less room for the graph.
LIMIT = 2**31 - 2**26
BYTES = {"fp32": 4, "bf16": 2, "fp16": 2, "int8": 1}


@dataclass(frozen=True)
class Graph:
    """weights: constants, which oneDNN packs once, or variables; None: constants on a CPU where the file stays below
    2 GB. device gpu: compiled by XLA, lengths and batch sizes by powers of two. batching: TensorFlow's batch scheduler
    inside the signature."""

    weights: Weights | None = None
    device: Device = "cpu"
    batching: Batching | None = None

    def __post_init__(self) -> None:
        for name, value, known in (
            ("weights", self.weights, (None, "constants", "variables")),
            ("device", self.device, ("cpu", "gpu")),
        ):
            if value not in known:
                raise InvalidInput(f"expected {name} of {', '.join(map(str, known))}; got {value!r}")
        if self.batching and self.device == "gpu":
            raise InvalidInput("in-graph batching and device gpu can't be combined; use the server's batching")


DEFAULT = Graph()
# What save_pretrained(saved_model=True) writes unless told otherwise, as transformers did.
VARIABLES = Graph(weights="variables")


def as_constants(model: Any, graph: Graph) -> bool:
    """Whether weights become constants. Raises ExportError where they can't and were asked for, or have to."""
    precision, size = model.precision, constant_bytes(model)
    if precision == "int8" and (graph.device == "gpu" or graph.weights == "variables"):
        raise InvalidInput("precision int8 is for CPUs, with weights as constants")
    fits = size < LIMIT
    if not fits and (graph.weights == "constants" or precision == "int8"):
        raise ExportError(
            f"weights as constants would take {size / 1e9:.1f} GB; a saved_model.pb holds 2 GB. Use weights=variables "
            "or a smaller precision"
        )
    return fits and graph.device == "cpu" if graph.weights is None else graph.weights == "constants"


def constant_bytes(model: Any) -> int:
    """About how much the weights take in the graph."""
    blocks = sum(weight.shape.num_elements() for layer in model.base_model.layer for weight in _variables(layer))
    total = sum(weight.shape.num_elements() for weight in _variables(model))
    return int(4 * (total - blocks) + BYTES[model.precision] * blocks)


def _variables(layer: Any) -> list[Any]:
    return [weight.value for weight in layer.weights]


@contextmanager
def tracing(model: Any, graph: Graph) -> Iterator[None]:
    """Signatures traced here share one function of the model, stored and run as `graph` says."""
    wrap = compiled if graph.device == "gpu" else graph.batching or inline
    with one_function(wrap, constants=as_constants(model, graph)):
        yield
