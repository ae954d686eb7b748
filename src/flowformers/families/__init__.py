"""One file per architecture. The file name is model_type (dashes as underscores), and the folder is the registry."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from flowformers.errors import UnknownFamily
from flowformers.families._config import PretrainedConfig
from flowformers.families._family import Family

__all__ = ["Family", "PretrainedConfig", "families", "family_of"]


@cache
def families() -> dict[str, Family]:
    """Every family by its model_type, found by listing this folder."""
    names = (module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))
    found = [importlib.import_module(f"{__name__}.{name}").FAMILY for name in names]
    return {family.model_type: family for family in found}


def family_of(model_type: object) -> Family:
    """The family of config.json's model_type. Raises UnknownFamily that lists what exists."""
    known = families()
    if not isinstance(model_type, str) or model_type not in known:
        raise UnknownFamily(
            f"expected model_type to be one of {', '.join(sorted(known))}; got {model_type!r}. "
            "A new family is one file: docs/add_a_family.md"
        )
    return known[model_type]
