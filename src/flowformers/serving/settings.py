"""The server's settings, under TensorFlow Serving's names and with its defaults (TF Serving protocol, section 12)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from flowformers.errors import InvalidInput


@dataclass(frozen=True)
class Settings:
    """port, rest_api_port: 0 picks a free one. Times are in the unit that the name ends with."""

    model_base_path: Path
    model_name: str = "default"
    host: str = "127.0.0.1"
    port: int = 8500
    rest_api_port: int = 8501
    rest_api_timeout_in_ms: int = 30_000
    rest_api_enable_cors_support: bool = False
    saved_model_tags: str = "serve"
    file_system_poll_wait_seconds: float = 1.0
    max_num_load_retries: int = 5
    load_retry_interval_micros: int = 60_000_000
    enable_model_warmup: bool = True
    tensorflow_intra_op_parallelism: int = 0
    tensorflow_inter_op_parallelism: int = 0
    num_run_threads: int = 0
    drain_seconds: float = 30.0

    def __post_init__(self) -> None:
        for name in ("port", "rest_api_port"):
            if not 0 <= getattr(self, name) <= 65535:
                raise InvalidInput(f"expected a port from 0 to 65535 as {name}; got {getattr(self, name)}")
        if self.port and self.port == self.rest_api_port:
            raise InvalidInput(f"expected different ports for gRPC and REST; both are {self.port}")
        if not self.model_name or set("/:") & set(self.model_name):
            raise InvalidInput(f"expected a model_name without '/' and ':'; got {self.model_name!r}")
