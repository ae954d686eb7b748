"""What both protocols do, without knowing either: names and arrays in, arrays out."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flowformers.errors import Kind, ServingError
from flowformers.serving import inference
from flowformers.serving.inference import Classes, Values
from flowformers.serving.lifecycle import Status
from flowformers.serving.model_config import models_of
from flowformers.serving.pace import NOTHING, NotShort
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
class Limits:
    """deadline: on time.monotonic's clock, None is none.

    cpu_seconds: of the processor, for a predict on the event loop; it raises NotShort where that is not sure to do.
    """

    deadline: float | None = None
    cpu_seconds: float = math.inf

    @property
    def hurried(self) -> bool:
        """Whether the event loop waits."""
        return self.cpu_seconds < math.inf

    def remaining_ms(self) -> int:
        """Time for the graph; 0 is no limit. Raises ServingError where it is over: such a request is not run."""
        if self.deadline is None:
            return 0
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise ServingError(Kind.DEADLINE_EXCEEDED, "the time limit was over before the request could run")
        return max(1, round(left * 1000))

    def check(self) -> None:
        """Raises ServingError where the time is over: TensorFlow ends a run a little later, or not at all."""
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise ServingError(Kind.DEADLINE_EXCEEDED, "the time limit was over before the answer was there")


@dataclass(frozen=True)
class Answer:
    """Outputs with the version that gave them."""

    outputs: Mapping[str, Array]
    version: int


@dataclass(frozen=True)
class Task:
    """One part of a multi-inference: a signature and its method, inference.CLASSIFY or inference.REGRESS."""

    signature_name: str
    method_name: str


NO_LIMITS = Limits()


class Dataplane:
    """Predict, classify, regress, metadata and status on a repository. Raises ServingError for what can't be done."""

    def __init__(self, repository: Repository, *, check_method_names: bool = False) -> None:
        self._repository, self._check_method_names = repository, check_method_names

    def dtypes(self, target: Target, signature_name: str) -> Mapping[str, str]:
        """The inputs of a signature with NumPy dtype names."""
        with self._repository.use(target.name, target.version, target.label) as servable:
            return _signature(servable, signature_name, *REST_UNKNOWN).dtypes

    def predict(
        self,
        target: Target,
        signature_name: str,
        inputs: Mapping[str, Array],
        *,
        output_filter: Sequence[str] = (),
        limits: Limits = NO_LIMITS,
    ) -> Answer:
        """Run a signature; inputs with a default may be left out. Their names are checked before one is read."""
        with self._repository.use(target.name, target.version, target.label) as servable:
            signature = _signature(servable, signature_name, *GRPC_UNKNOWN)
            _check_short(servable, signature_name, limits)
            return _run(servable, signature, signature.filled(inputs), output_filter, limits)

    def predict_typed(
        self,
        target: Target,
        signature_name: str,
        read: Callable[[Mapping[str, str]], Mapping[str, Array]],
        *,
        limits: Limits = NO_LIMITS,
    ) -> Answer:
        """As predict, for inputs that can be read only with their dtypes: read(NumPy names by input) -> arrays."""
        return self.predict_parts(target, signature_name, [read], limits=limits)[0]

    def predict_parts(
        self,
        target: Target,
        signature_name: str,
        reads: Sequence[Callable[[Mapping[str, str]], Mapping[str, Array]]],
        *,
        limits: Limits = NO_LIMITS,
    ) -> list[Answer]:
        """As predict_typed, for several inputs of one version."""
        with self._repository.use(target.name, target.version, target.label) as servable:
            signature = _signature(servable, signature_name, *REST_UNKNOWN)
            _check_short(servable, signature_name, limits)
            if len(reads) > 1 and limits.hurried:
                raise NotShort
            return [_run(servable, signature, read(signature.dtypes), (), limits) for read in reads]

    def classify(
        self, target: Target, signature_name: str, examples: Sequence[bytes], limits: Limits = NO_LIMITS
    ) -> tuple[Classes, int]:
        """Labels and scores of serialized tf.Examples, and the version."""
        task = Task(signature_name, inference.CLASSIFY)
        (found,), version = self._infer(target, [task], examples, limits, EXAMPLE_UNKNOWN)
        assert isinstance(found, Classes)
        return found, version

    def regress(
        self, target: Target, signature_name: str, examples: Sequence[bytes], limits: Limits = NO_LIMITS
    ) -> tuple[Values, int]:
        """A value for each serialized tf.Example, and the version."""
        task = Task(signature_name, inference.REGRESS)
        (found,), version = self._infer(target, [task], examples, limits, EXAMPLE_UNKNOWN)
        assert isinstance(found, Values)
        return found, version

    def multi_inference(
        self, target: Target, tasks: Sequence[Task], examples: Sequence[bytes], limits: Limits = NO_LIMITS
    ) -> tuple[list[Classes | Values], int]:
        """Results in the order of the tasks, of one run of the graph, and the version."""
        return self._infer(target, tasks, examples, limits, TASK_UNKNOWN)

    def _infer(
        self,
        target: Target,
        tasks: Sequence[Task],
        examples: Sequence[bytes],
        limits: Limits,
        unknown: tuple[Kind, str],
    ) -> tuple[list[Classes | Values], int]:
        with self._repository.use(target.name, target.version, target.label) as servable:
            plans = []
            for task in tasks:
                signature = _signature(servable, task.signature_name, *unknown)
                plans.append(inference.plan(signature, task.method_name, check_name=self._check_method_names))
            joint = inference.join(plans)
            inputs = {inference.INPUTS: inference.as_tensor(examples)}
            outputs = _run(servable, joint, inputs, (), limits).outputs
            return [inference.result(plan, outputs, len(examples)) for plan in plans], servable.version

    def metadata(self, target: Target) -> tuple[int, dict[str, Any]]:
        """The version and its SignatureDefs by name."""
        with self._repository.use(target.name, target.version, target.label) as servable:
            return servable.version, servable.signature_defs

    def status(self, target: Target) -> list[Status]:
        """Every version, or the one asked for; a label is ignored, as TensorFlow Serving does."""
        return self._repository.statuses(target.name, target.version)

    def reload(self, config: Any) -> None:
        """Serve the models of a ModelServerConfig and no others; returns when those that are new are available."""
        self._repository.reload(models_of(config))


REST_UNKNOWN = Kind.INVALID_ARGUMENT, 'Serving signature name: "{}" not found in signature def'
GRPC_UNKNOWN = Kind.FAILED_PRECONDITION, 'Serving signature key "{}" not found.'
EXAMPLE_UNKNOWN = Kind.INVALID_ARGUMENT, "No signature was found with the name: {}"
TASK_UNKNOWN = Kind.INVALID_ARGUMENT, "Requested signature not found in model graph: {}"


def _signature(servable: Servable, name: str, kind: Kind, text: str) -> Signature:
    found = servable.signature(name)
    if found is None:
        raise ServingError(kind, text.format(name))
    return found


def _check_short(servable: Servable, signature_name: str, limits: Limits) -> None:
    """Raises NotShort, before any input is read, where no input would be short."""
    if limits.hurried and not servable.pace(signature_name).short(NOTHING, limits.cpu_seconds):
        raise NotShort


def _run(
    servable: Servable, signature: Signature, inputs: Mapping[str, Array], output_filter: Sequence[str], limits: Limits
) -> Answer:
    outputs = _outputs(signature, output_filter)
    found = servable.run(signature, inputs, outputs, timeout_ms=limits.remaining_ms(), cpu_seconds=limits.cpu_seconds)
    limits.check()
    return Answer(found, servable.version)


def _outputs(signature: Signature, wanted: Sequence[str]) -> list[str]:
    if not wanted:
        return list(signature.outputs)
    for index, name in enumerate(wanted):
        if name not in signature.outputs:
            raise ServingError(Kind.INVALID_ARGUMENT, f"output tensor alias not found in signature: {name}")
        if name in wanted[:index]:
            raise ServingError(Kind.INVALID_ARGUMENT, f"duplicate output tensor alias: {name}")
    return list(wanted)
