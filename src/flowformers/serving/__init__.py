"""A server for any SavedModel, speaking TensorFlow Serving's REST and gRPC."""

from __future__ import annotations

from flowformers.serving.server import Server, run, running
from flowformers.serving.settings import Settings

__all__ = ["Server", "Settings", "run", "running"]
