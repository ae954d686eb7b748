"""Run with the `kserve` package's models: kserve_schema.py FILE... Every key must be one that KServe's kinds have."""

import importlib
import importlib.util
import re
import sys
import types
from pathlib import Path

import kubernetes.client.models
import yaml

# The package itself would import a web server and more: only its models are wanted.
root = Path(importlib.util.find_spec("kubernetes").origin).parents[1] / "kserve"
sys.modules["kserve"] = types.ModuleType("kserve")
sys.modules["kserve"].__path__ = [str(root)]
kserve = importlib.import_module("kserve.models")
PLAIN = {"str": str, "int": int, "bool": bool, "float": (int, float), "object": object}


def walk(value, kind, place):
    """Compare a value with the name of its type in the SDK's notation."""
    nested = re.fullmatch(r"(list|dict)[\[(](?:str, )?(.+)[\])]", kind, re.IGNORECASE)
    model = getattr(kserve, kind, None) or getattr(kubernetes.client.models, kind, None)
    if nested and nested[1].lower() == "list":
        for index, one in enumerate(value):
            walk(one, nested[2], f"{place}[{index}]")
    elif nested:
        for key, one in value.items():
            walk(one, nested[2], f"{place}.{key}")
    elif kind in PLAIN:
        assert isinstance(value, PLAIN[kind]), f"{place}: expected {kind}; got {value!r}"
    else:
        names = {wire: name for name, wire in model.attribute_map.items()}
        for key, one in value.items():
            assert key in names, f"{place} has no {key!r}; it has {', '.join(sorted(names))}"
            walk(one, model.openapi_types[names[key]], f"{place}.{key}")


for path in sys.argv[1:]:
    for document in yaml.safe_load_all(Path(path).read_text(encoding="utf-8")):
        version = document["apiVersion"].partition("/")[2]
        walk(document, version.capitalize() + document["kind"], document["kind"])
        print(document["kind"], document["metadata"]["name"])
