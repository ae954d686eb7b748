"""TensorFlow, where a command needs it."""

from __future__ import annotations

import gc
import logging
import os
import platform
import sys
from importlib.util import find_spec

from flowformers.errors import MissingDependency


def require_tensorflow(command: str) -> None:
    """Raises MissingDependency that names the extra; keeps TensorFlow's start-up chatter out of the terminal.

    Switches oneDNN on where TensorFlow leaves it off, on x86 CPUs without AVX-512 (docs/performance.md).
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if platform.machine() in ("x86_64", "AMD64"):
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    if find_spec("tensorflow") is None:
        raise MissingDependency(f"{command} needs TensorFlow: pip install 'flowformers[cpu]' (or [gpu])")
    if "tensorflow" not in sys.modules:
        _import()
    # Deprecations inside of TensorFlow are the package's affair, not that of who runs a command.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)


def _import() -> None:
    """Without looking for garbage, a fifth of the time; what is there then stays and is never looked at again."""
    gc.disable()
    try:
        import tensorflow  # noqa: F401
    finally:
        gc.freeze()
        gc.enable()
