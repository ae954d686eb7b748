"""How requests are joined: --batching_parameters_file (TF Serving protocol, sections 13 and 15)."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from flowformers.errors import InvalidInput
from flowformers.serving.cpus import usable_cpus
from flowformers.serving.model_config import read_text_proto
from flowformers.serving.settings import Settings

PER_MODEL = "batching_params.pbtxt"
MOST_RUN_THREADS = 256


@dataclass(frozen=True)
class BatchingParameters:
    """Sizes in rows. max_batch_size is also the largest request, except where large ones are split."""

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int = field(default_factory=usable_cpus)
    allowed_batch_sizes: tuple[int, ...] = ()
    enable_large_batch_splitting: bool = False
    max_execution_batch_size: int = 0

    def __post_init__(self) -> None:
        for name in ("max_batch_size", "max_enqueued_batches", "num_batch_threads"):
            if getattr(self, name) < 1:
                raise InvalidInput(f"expected {name} of 1 or more; got {getattr(self, name)}")
        sizes = self.allowed_batch_sizes
        if list(sizes) != sorted(set(sizes)):
            raise InvalidInput(f"expected allowed_batch_sizes in ascending order; got {list(sizes)}")
        if sizes and sizes[-1] != self.largest_batch:
            raise InvalidInput(f"expected {self.largest_batch} as the last of allowed_batch_sizes; got {sizes[-1]}")
        if self.largest_batch > self.max_batch_size:
            raise InvalidInput(
                f"expected max_execution_batch_size of at most max_batch_size, {self.max_batch_size}; "
                f"got {self.max_execution_batch_size}"
            )

    @property
    def largest_batch(self) -> int:
        """Rows that run at one time."""
        split = self.enable_large_batch_splitting and self.max_execution_batch_size
        return self.max_execution_batch_size if split else self.max_batch_size


def read_parameters(path: Path) -> BatchingParameters:
    """A BatchingParameters message in text form.

    pad_variable_length_inputs needs nothing here (see batching), and thread_pool_name has no metric to be a label of.

    Raises NotFound, and InvalidInput where it can't be understood.
    """
    from flowformers.wire.session_bundle_config_pb2 import BatchingParameters as Message

    message = read_text_proto(path, Message())
    known = {one.name for one in fields(BatchingParameters)}
    given: dict[str, Any] = {}
    for one in message.DESCRIPTOR.fields:
        if one.message_type is not None and one.name in known and message.HasField(one.name):
            given[one.name] = getattr(message, one.name).value  # scalars come in wrappers
    return BatchingParameters(**given, allowed_batch_sizes=tuple(message.allowed_batch_sizes))


def parameters_for(folder: Path, settings: Settings) -> BatchingParameters | None:
    """How a version's requests are joined; None: not at all."""
    if settings.enable_per_model_batching_parameters:
        own = folder / PER_MODEL
        return read_parameters(own) if own.is_file() else None
    return _shared(settings)


def _shared(settings: Settings) -> BatchingParameters | None:
    """What holds for all models; None where they are not joined."""
    if not settings.enable_batching:
        return None
    file = settings.batching_parameters_file
    return read_parameters(file) if file else BatchingParameters()


def run_threads(settings: Settings, in_graph: int) -> int:
    """The threads that run requests: as many as the settings say, else as many as batches need.

    Requests that wait in TensorFlow's scheduler hold a thread each: enough for two batches, within reason. in_graph:
    rows of a batch that a loaded graph joins by itself; 0 where none does.
    """
    if given := settings.num_run_threads or max(settings.rest_api_num_threads, settings.grpc_max_threads):
        return given
    if settings.enable_per_model_batching_parameters:
        return MOST_RUN_THREADS
    shared = _shared(settings)
    rows = max(in_graph, shared.max_batch_size if shared else 0)
    return max(4 * usable_cpus(), min(2 * rows, MOST_RUN_THREADS))
