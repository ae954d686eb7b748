"""flowformers: Hugging Face encoder models in TensorFlow, from a checkpoint to an answer over the wire.

Names are looked up when they are used: importing flowformers takes milliseconds and needs no TensorFlow.
"""

from __future__ import annotations

import re
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

from flowformers import errors
from flowformers.errors import FlowformersError, MissingDependency

__version__ = "0.1.0"
__all__ = ["FlowformersError", "__version__", "errors"]

TRAINING = ("create_optimizer", "WarmUp")
INSTALL = "TensorFlow is needed for {name} and is not installed: pip install 'flowformers[cpu]' (or [gpu])"


def __getattr__(name: str) -> Any:
    # A lower-case name is a submodule or nothing; asking the rooms for it would import TensorFlow.
    for find in (_tokenizer, _training, _model) if name[:1].isupper() or name == "create_optimizer" else ():
        found = find(name)
        if found is not None:
            globals()[name] = found
            return found
    raise AttributeError(f"flowformers has no {name!r}; dir(flowformers) lists its names")


def _tokenizer(name: str) -> Any:
    """Tokenizers run on the tokenizers library alone."""
    if "Tokenizer" not in name and name not in ("AddedToken", "BatchEncoding"):
        return None
    return getattr(import_module("flowformers.text"), name, None)


def _training(name: str) -> Any:
    if name not in TRAINING:
        return None
    return getattr(_room("training", name), name)


def _model(name: str) -> Any:
    try:
        return _room("models", name).public().get(name)
    except MissingDependency:
        if _may_be_model(name):
            raise
        return None


def _may_be_model(name: str) -> bool:
    """By the forms that names have: which there are is known with TensorFlow only."""
    folder = str(Path(__file__).with_name("families"))
    stems = [module.name.replace("_", "") for module in iter_modules([folder])]
    starts = "|".join([*stems, "auto", "pretrained", "sentenceencoder"])
    return bool(re.match(rf"(TF)?({starts})|(TF\w+|Model)Output$", name, re.IGNORECASE))


def _room(room: str, name: str) -> Any:
    """A room that needs TensorFlow. Raises MissingDependency where it is not installed."""
    try:
        return import_module(f"flowformers.{room}")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("tensorflow", "keras"):
            raise
        raise MissingDependency(INSTALL.format(name=name)) from error


def __dir__() -> list[str]:
    """Every name that can be used: without TensorFlow no models."""
    names = {*__all__, *import_module("flowformers.text").__all__}
    with suppress(MissingDependency):
        names |= {*TRAINING, *_room("models", "models").public()}
    return sorted(names)
