"""A server for any SavedModel, speaking TensorFlow Serving's REST and gRPC.

Settings need no TensorFlow; the server itself is imported when it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from flowformers.serving.settings import Settings

if TYPE_CHECKING:
    from flowformers.serving.server import Server, run, running

__all__ = ["Server", "Settings", "run", "running"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"flowformers.serving has no {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module("flowformers.serving.server"), name)
