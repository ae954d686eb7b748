"""What every public class shares, and the classes themselves."""

from __future__ import annotations

from typing import Any

from flowformers.errors import InvalidInput
from flowformers.families import PretrainedConfig, families
from flowformers.models.auto import AUTO_CLASSES, AutoConfig, architecture, class_of
from flowformers.models.base import TFPreTrainedModel
from flowformers.models.classes import classes
from flowformers.models.outputs import OUTPUTS, ModelOutput
from flowformers.models.sentence import TFSentenceEncoder

__all__ = [
    "AutoConfig",
    "ModelOutput",
    "PretrainedConfig",
    "TFPreTrainedModel",
    "TFSentenceEncoder",
    "architecture",
    "class_of",
    "public",
    "public_names",
]


def _public() -> dict[str, Any]:
    configs = {family.config_class.__name__: family.config_class for family in families().values()}
    shared = {
        cls.__name__: cls for cls in (AutoConfig, ModelOutput, PretrainedConfig, TFPreTrainedModel, TFSentenceEncoder)
    }
    return {**classes(), **configs, **AUTO_CLASSES, **OUTPUTS, **shared}


def public_names() -> list[str]:
    """Every name that `public` knows, sorted."""
    return sorted(_public())


def public(name: str) -> Any:
    """The class of that name. Raises InvalidInput."""
    known = _public()
    if name not in known:
        raise InvalidInput(f"flowformers has no {name!r}; a list of names is dir(flowformers)")
    return known[name]
