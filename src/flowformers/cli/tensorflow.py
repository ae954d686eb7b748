"""TensorFlow, where a command needs it."""

from __future__ import annotations

import os
from importlib.util import find_spec

from flowformers.errors import MissingDependency


def require_tensorflow(command: str) -> None:
    """Raises MissingDependency that names the extra; keeps TensorFlow's start-up chatter out of the terminal."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if find_spec("tensorflow") is None:
        raise MissingDependency(f"{command} needs TensorFlow: pip install 'flowformers[cpu]' (or [gpu])")
