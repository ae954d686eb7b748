"""Which models are served: names, base paths, version policies and labels (TF Serving protocol, sections 13 and 14)."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from google.protobuf import text_format

from flowformers.errors import InvalidInput, Kind, NotFound, ServingError

log = logging.getLogger("flowformers.serving")
PLATFORM = "tensorflow"


class Policy(Protocol):
    """Which of the versions on disk are wanted."""

    def choose(self, found: Collection[int]) -> set[int]: ...


@dataclass(frozen=True)
class Latest:
    """The highest version numbers."""

    count: int = 1

    def choose(self, found: Collection[int]) -> set[int]:
        return set(sorted(found)[-self.count :])


@dataclass(frozen=True)
class All:
    """Every version."""

    def choose(self, found: Collection[int]) -> set[int]:
        return set(found)


@dataclass(frozen=True)
class Specific:
    """The versions named, where they are on disk."""

    versions: frozenset[int]

    def choose(self, found: Collection[int]) -> set[int]:
        return set(found) & self.versions


@dataclass(frozen=True)
class ModelConfig:
    """One model: labels are names for version numbers."""

    name: str
    base_path: Path
    policy: Policy = Latest()
    labels: Mapping[str, int] = field(default_factory=dict)


def local_path(text: str) -> Path:
    """A path, or the URI of one of this machine's as TensorFlow writes it. Raises InvalidInput for any other URI."""
    scheme, marked, rest = text.partition("://")
    host, _, path = rest.partition("/")
    if not marked:
        return Path(text)
    if scheme != "file" or host not in ("", "localhost"):
        raise InvalidInput(f"expected a path of this machine or file:///PATH; got {text}: mount it here, or copy it")
    return Path(f"/{path}")


def read_model_config(path: Path) -> tuple[ModelConfig, ...]:
    """The models of a --model_config_file. Raises NotFound, and InvalidInput where it can't be understood."""
    from flowformers.wire.model_server_config_pb2 import ModelServerConfig

    return models_of(read_text_proto(path, ModelServerConfig()))


def read_text_proto(path: Path, message: Any) -> Any:
    """A protobuf text file read into the message. Raises NotFound, and InvalidInput that names file and line."""
    if not path.is_file():
        raise NotFound(f"expected a {message.DESCRIPTOR.name} in protobuf text form at {path}; there is no such file")
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), message)
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} is no {message.DESCRIPTOR.name} in protobuf text form: {error}") from error


def models_of(message: Any) -> tuple[ModelConfig, ...]:
    """The models of a ModelServerConfig. Raises ServingError INVALID_ARGUMENT with TensorFlow Serving's words."""
    if message.WhichOneof("config") == "custom_model_config":
        raise ServingError(Kind.INVALID_ARGUMENT, "custom_model_config is not supported; use model_config_list")
    models = tuple(_model(config) for config in message.model_config_list.config)
    names = [model.name for model in models]
    for name in names:
        if names.count(name) > 1:
            raise ServingError(Kind.INVALID_ARGUMENT, f"Illegal to list model {name} multiple times in config list")
    return models


def _model(config: Any) -> ModelConfig:
    if not config.name:
        raise ServingError(Kind.INVALID_ARGUMENT, "expected a name for every model in the config list")
    _check_platform(config)
    base = _base_path(config)
    if not base.is_absolute():
        raise ServingError(
            Kind.INVALID_ARGUMENT,
            f"Expected model {config.name} to have an absolute path; got base_path()={config.base_path}",
        )
    _check_logging(config)
    return ModelConfig(config.name, base, _policy(config.model_version_policy), dict(config.version_labels))


def _base_path(config: Any) -> Path:
    try:
        return local_path(config.base_path)
    except InvalidInput as error:
        raise ServingError(Kind.INVALID_ARGUMENT, f"model {config.name}: base_path: {error}") from error


def _check_logging(config: Any) -> None:
    """A logging_config may stand there as long as it asks for no line."""
    sampling = config.logging_config.sampling_config
    rates = [sampling.sampling_rate, *(task.sampling_rate for task in sampling.per_task_sampling_configs)]
    if any(rates) or config.logging_config.HasField("custom_logging_config"):
        text = f"logging_config asks for a log of requests (sampling_rate {max(rates)}), which this server can't write"
        advice = "set the rate to 0 or remove it; --enable_access_log writes a line for each request"
        raise ServingError(Kind.INVALID_ARGUMENT, f"model {config.name}: {text}: {advice}")
    if config.HasField("logging_config"):
        log.info("model %s: logging_config is ignored: no requests are logged", config.name)


def _check_platform(config: Any) -> None:
    platform, old = config.model_platform, config.model_type
    if platform and old:
        raise ServingError(
            Kind.INVALID_ARGUMENT, f"model {config.name}: expected model_platform or the old model_type, not both"
        )
    if platform != PLATFORM and old != 1:
        got = platform or "none"
        raise ServingError(
            Kind.INVALID_ARGUMENT, f'model {config.name}: expected model_platform: "{PLATFORM}"; got {got}'
        )


def _policy(message: Any) -> Policy:
    chosen = message.WhichOneof("policy_choice")
    if chosen == "all":
        return All()
    if chosen == "specific":
        if not message.specific.versions:
            raise ServingError(Kind.INVALID_ARGUMENT, "a specific version policy names no versions")
        return Specific(frozenset(message.specific.versions))
    return Latest(max(message.latest.num_versions, 1))
