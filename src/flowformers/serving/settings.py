"""The server's settings, under TensorFlow Serving's names and with its defaults (TF Serving protocol, section 12)."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from flowformers.errors import InvalidInput
from flowformers.serving.model_config import ModelConfig, read_model_config

SUPPORTED_MIXED_PRECISION = ("", "bfloat16")
LOG_FORMATS = ("text", "json")
log = logging.getLogger("flowformers.serving")

# TensorFlow Serving's flags that have no effect here and change no answer: {name: why}. All are booleans.
IGNORED = {"enable_profiler": "ProfilerService is not served; tf.profiler.experimental.server does it in your process"}

# TensorFlow Serving's flags that can't be honoured: {name: (its default, why)}.
REFUSED: dict[str, tuple[Any, str]] = {
    "use_alts_credentials": (False, "ALTS works on Google Cloud only; use --ssl_config_file"),
    "platform_config_file": ("", "there is one platform, tensorflow; its settings are flags of their own"),
    "thread_pool_factory_config_file": ("", "TensorFlow has no registry of thread pool factories in Python"),
    "remove_unused_fields_from_bundle_metagraph": (True, "the graph is never kept beside the session"),
    "prefer_tflite_model": (False, "TensorFlow Lite models are not served; export a SavedModel"),
    "num_tflite_pools": (0, "TensorFlow Lite models are not served"),
    "num_tflite_interpreters_per_pool": (1, "TensorFlow Lite models are not served"),
    "xla_cpu_compilation_enabled": (False, "set TF_XLA_FLAGS=--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit instead"),
    "xla_gpu_compilation_enabled": (False, "set TF_XLA_FLAGS=--tf_xla_auto_jit=2 instead"),
    "skip_initialize_tpu": (False, "TPUs are not initialised by this server"),
}


def _flag(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


PORTS = ("port", "rest_api_port")
MAY_BE_NEGATIVE = (*PORTS, "file_system_poll_wait_seconds")


@dataclass(frozen=True)
class Settings:
    """port, rest_api_port: 0 is off, -1 picks a free one. Times are in the unit that the name ends with."""

    # Models
    model_base_path: Path | None = _flag(None, "folder of numbered versions")
    model_name: str = _flag("default", "name in the URL")
    model_config_file: Path | None = _flag(None, "ModelServerConfig in text form: several models, policies, labels")
    model_config_file_poll_wait_seconds: int = _flag(0, "read it again at this step; 0: once")
    saved_model_tags: str = _flag("serve", "tags of the meta graph, comma-separated")
    file_system_poll_wait_seconds: float = _flag(1.0, "look for new versions at this step; 0 or less: once")
    num_load_threads: int = _flag(0, "loads at one time after the first; 0: one")
    num_unload_threads: int = _flag(0, "unloads at one time; 0: one")
    max_num_load_retries: int = _flag(5, "tries after a load that failed")
    load_retry_interval_micros: int = _flag(60_000_000, "time between them")
    flush_filesystem_caches: bool = _flag(True, "drop a loaded version's files from the page cache")
    allow_version_labels_for_unavailable_models: bool = _flag(False, "new labels may name versions not yet loaded")
    enable_model_warmup: bool = _flag(True, "run assets.extra/tf_serving_warmup_requests before a version is served")
    num_request_iterations_for_warmup: int = _flag(0, "runs of each warm-up request; 0: one")

    # Ports
    host: str = _flag("127.0.0.1", "address of both ports; 0.0.0.0 opens them to others")
    port: int = _flag(8500, "gRPC; 0: off, -1: a free one")
    rest_api_port: int = _flag(8501, "REST; 0: off, -1: a free one")
    rest_api_timeout_in_ms: int = _flag(30_000, "time limit of a REST request; 0: no limit")
    rest_api_enable_cors_support: bool = _flag(False, "CORS headers on every answer")

    grpc_socket_path: str = _flag("", "Unix socket for gRPC; with --port=0 instead of TCP")
    grpc_channel_arguments: str = _flag("", "gRPC channel options: a=1,b=c")
    enable_grpc_healthcheck_service: bool = _flag(False, "serve grpc.health.v1.Health")
    ssl_config_file: Path | None = _flag(None, "SSLConfig in text form: TLS for gRPC")
    rest_api_ssl_config_file: Path | None = _flag(None, "SSLConfig in text form: TLS for REST")
    api_key_file: Path | None = _flag(None, "keys, one a line: requests need one of them")

    # Limits
    max_request_body_bytes: int = _flag(128 * 2**20, "largest REST body; 0: no limit")
    max_header_bytes: int = _flag(64 * 2**10, "largest sum of a REST request's headers and path; 0: no limit")
    max_connections: int = _flag(4096, "REST connections open at one time; 0: no limit")
    max_queued_requests: int = _flag(1000, "requests that wait for a thread; more get 429; 0: no limit")
    idle_seconds: int = _flag(50, "a REST connection without progress is closed; 0: never")

    # Execution
    rest_api_num_threads: int = _flag(0, "as num_run_threads, which wins")
    grpc_max_threads: int = _flag(0, "as num_run_threads, which wins")
    enable_signature_method_name_check: bool = _flag(False, "Classify and Regress need signatures of that method_name")
    enable_serialization_as_tensor_content: bool = _flag(False, "gRPC answers as tensor_content, not as typed fields")
    enable_batching: bool = _flag(False, "join requests into batches")
    batching_parameters_file: Path | None = _flag(None, "BatchingParameters in text form")
    enable_per_model_batching_parameters: bool = _flag(False, "read batching_params.pbtxt in each version's folder")
    tensorflow_session_parallelism: int = _flag(0, "threads within and between ops; 0: TensorFlow chooses")
    tensorflow_intra_op_parallelism: int = _flag(0, "threads within an op; 0: TensorFlow chooses")
    tensorflow_inter_op_parallelism: int = _flag(0, "threads between ops; 0: TensorFlow chooses")
    tensorflow_session_config_file: Path | None = _flag(None, "ConfigProto in text form, the base of the flags above")
    per_process_gpu_memory_fraction: float = _flag(0.0, "share of a GPU's memory; 0: TensorFlow chooses")
    mixed_precision: str = _flag("", "bfloat16: TensorFlow rewrites the graph for it")
    num_run_threads: int = _flag(0, "requests that run at one time; 0: chosen from CPUs and batching")

    # Operations
    monitoring_config_file: Path | None = _flag(None, "MonitoringConfig in text form: TensorFlow Serving's metrics")
    log_format: str = _flag("text", "text or json")
    enable_access_log: bool = _flag(False, "a log line for each request")
    enable_tracing: bool = _flag(False, "OpenTelemetry spans over OTLP (extra otel)")
    drain_seconds: float = _flag(30.0, "after SIGTERM, time for what was accepted to be answered")

    def __post_init__(self) -> None:
        for name in PORTS:
            if not -1 <= getattr(self, name) <= 65535:
                raise InvalidInput(
                    f"expected a port, 0 (off) or -1 (any that is free) as {name}; got {getattr(self, name)}"
                )
        if self.port > 0 and self.port == self.rest_api_port:
            log.warning("REST is off: rest_api_port is %d, as port is, and gRPC has that", self.port)
            object.__setattr__(self, "rest_api_port", 0)
        if not self.port and not self.grpc_socket_path:
            raise InvalidInput(
                "port=0 switches TCP off for gRPC: give grpc_socket_path too, or port=-1 for a free port"
            )
        if not self.model_name or set("/:") & set(self.model_name):
            raise InvalidInput(f"expected a model_name without '/' and ':'; got {self.model_name!r}")
        for flag in fields(self):
            value = getattr(self, flag.name)
            if isinstance(value, float) and not math.isfinite(value):
                raise InvalidInput(f"expected a finite number as {flag.name}; got {value}")
            if isinstance(value, int | float) and value < 0 and flag.name not in MAY_BE_NEGATIVE:
                raise InvalidInput(f"expected {flag.name} of 0 or more; got {value}")
        # TensorFlow Serving never looks at all then, not at the start either: it means there is nothing to wait for.
        object.__setattr__(self, "file_system_poll_wait_seconds", max(self.file_system_poll_wait_seconds, 0))
        _check_combinations(self)

    def models(self) -> tuple[ModelConfig, ...]:
        """What to serve: the config file's models, or the one model. Raises NotFound, InvalidInput, ServingError."""
        if self.model_config_file is not None:
            return read_model_config(self.model_config_file)
        if self.model_base_path is None:
            raise InvalidInput("expected a model: give a folder, --model_base_path, or --model_config_file")
        return (ModelConfig(self.model_name, self.model_base_path.absolute()),)


def _check_combinations(settings: Settings) -> None:
    parallelism = ("session", "intra_op", "inter_op")
    if all(getattr(settings, f"tensorflow_{name}_parallelism") for name in parallelism):
        raise InvalidInput("tensorflow_session_parallelism sets both of the others; give it alone or give those two")
    batching = settings.enable_batching or settings.enable_per_model_batching_parameters
    if settings.batching_parameters_file and not batching:
        raise InvalidInput("batching_parameters_file is set and enable_batching is not; add --enable_batching")
    if settings.log_format not in LOG_FORMATS:
        raise InvalidInput(f"expected one of {', '.join(LOG_FORMATS)} as log_format; got {settings.log_format!r}")
    if settings.mixed_precision not in SUPPORTED_MIXED_PRECISION:
        raise InvalidInput(f"expected bfloat16 or nothing as mixed_precision; got {settings.mixed_precision!r}")
