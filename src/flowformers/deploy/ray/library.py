"""Ray, imported where it is used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from flowformers.errors import MissingDependency


def library(name: str) -> Any:
    """A module of Ray. Raises MissingDependency."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "ray":
            raise
        raise MissingDependency("this needs Ray: pip install 'flowformers[cpu,ray]'") from error
