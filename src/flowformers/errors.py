"""Every error that flowformers raises on purpose.

FlowformersError                         kind: UNKNOWN
├── InvalidInput (ValueError)            INVALID_ARGUMENT    what the caller gave can't be used
│   ├── UnknownFamily                    INVALID_ARGUMENT    a model_type with no file in families/
│   └── ConfigError                      INVALID_ARGUMENT    a config.json field is missing or has an unusable value
├── NotFound (FileNotFoundError)         NOT_FOUND           a file, folder, Hub repository or model is not there
├── CheckpointError                      DATA_LOSS           a checkpoint file can't be read
│   ├── UnsafePickle                     INVALID_ARGUMENT    a pickle asks for more than tensors
│   └── WeightsMismatch                  FAILED_PRECONDITION tensors and model do not fit; lists all of them
├── MissingDependency (ImportError)      FAILED_PRECONDITION a package is absent; the text names the extra
├── PeerUnavailable                      UNAVAILABLE         an engine can't take part in the benchmark
├── ExportError                          INTERNAL            a SavedModel could not be written
│   └── VerificationFailed               INTERNAL            the written SavedModel answers differently
└── ServingError                         (given)             an answer to a client: a kind and a text

A kind says what went wrong without naming a protocol; wire/codes.py turns it into HTTP and gRPC codes.
"""

from __future__ import annotations

from enum import Enum


class Kind(Enum):
    """What went wrong, in the words that gRPC and TensorFlow share."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class FlowformersError(Exception):
    """Base of the tree above."""

    kind: Kind = Kind.UNKNOWN


class InvalidInput(FlowformersError, ValueError):
    """What the caller gave can't be used."""

    kind = Kind.INVALID_ARGUMENT


class UnknownFamily(InvalidInput):
    """A model_type that has no file in families/."""


class ConfigError(InvalidInput):
    """A field of config.json is missing or has a value that can't be honoured."""


class NotFound(FlowformersError, FileNotFoundError):
    """A file, folder, Hub repository or model is not there."""

    kind = Kind.NOT_FOUND


class CheckpointError(FlowformersError):
    """A checkpoint file can't be read."""

    kind = Kind.DATA_LOSS


class UnsafePickle(CheckpointError):
    """A pickle that asks for more than tensors; nothing of it was run."""

    kind = Kind.INVALID_ARGUMENT


class WeightsMismatch(CheckpointError):
    """Tensors and model do not fit each other; the text lists all that differ."""

    kind = Kind.FAILED_PRECONDITION


class MissingDependency(FlowformersError, ImportError):
    """A package that this call needs is not installed; the text names the extra."""

    kind = Kind.FAILED_PRECONDITION


class PeerUnavailable(FlowformersError):
    """An engine of the benchmark can't be installed, run or compared; the text is what the report says."""

    kind = Kind.UNAVAILABLE


class ExportError(FlowformersError):
    """A SavedModel could not be written; what stood there before still stands."""

    kind = Kind.INTERNAL


class VerificationFailed(ExportError):
    """The written SavedModel does not answer as the model does."""


class ServingError(FlowformersError):
    """An answer to a client that is not a result. retry_after: seconds to wait before asking again, where known."""

    def __init__(self, kind: Kind, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.retry_after = retry_after
