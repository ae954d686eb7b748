"""Names of tensors: ours <-> a checkpoint's, and PyTorch's <-> those of TensorFlow files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

HEAD_SCOPES = {"cls.predictions": "mlm___cls", "cls.seq_relationship": "nsp___cls"}
LAST_FROM_TF = {"kernel": "weight", "embeddings": "weight", "gamma": "weight", "beta": "bias"}
LAST_FROM_OLD = {"gamma": "weight", "beta": "bias"}
LAYER = re.compile(r"\.(\d+)\.")


@dataclass(frozen=True)
class NameTable:
    """Rows of our module path -> the checkpoint's, with {n} for a layer's number.

    prefix stands before every value ("bert"), except values that begin with "/".
    """

    prefix: str
    rows: Mapping[str, str] = field(default_factory=dict)

    def to_file(self, ours: str) -> str:
        """The checkpoint's module path. Raises KeyError where no row matches."""
        row, number = _generalise(ours)
        return _absolute(self.prefix, self.rows[row]).replace("{n}", number)


def _absolute(prefix: str, value: str) -> str:
    if value.startswith("/"):
        return value[1:]
    return f"{prefix}.{value}" if prefix else value


def _generalise(path: str) -> tuple[str, str]:
    """ "layer.3.output" -> ("layer.{n}.output", "3")."""
    found = LAYER.search(path)
    return (path, "") if found is None else (LAYER.sub(".{n}.", path, count=1), found.group(1))


def from_old(name: str) -> str:
    """A PyTorch name as saved today: LayerNorm.gamma and .beta were weight and bias of Google's conversions.

    Only the last component is looked at; gamma may be part of a longer, unrelated name.
    """
    head, _, last = name.rpartition(".")
    return f"{head}.{LAST_FROM_OLD[last]}" if last in LAST_FROM_OLD else name


def from_tf(variable: str) -> str:
    """A TensorFlow variable name without its model component -> PyTorch's name (facts of transformers' converter)."""
    parts = variable.removesuffix(":0").replace("_._", "/").split("/")
    parts = [part.split("___", 1)[-1] for part in parts]
    parts[-1] = LAST_FROM_TF.get(parts[-1], parts[-1])
    return ".".join(parts)


def to_tf(name: str, kind: str) -> str:
    """A PyTorch tensor name -> the TensorFlow variable name without its model component."""
    module, _, _ = name.rpartition(".")
    for prefix, scope in HEAD_SCOPES.items():
        if module == prefix or module.startswith(prefix + "."):
            module = module.replace("cls.", f"{scope}.", 1)
    # Word embeddings are a bare variable called weight in transformers, other tables are Keras Embedding layers.
    last = {"table": "weight" if module.endswith("word_embeddings") else "embeddings"}.get(kind, kind)
    path = re.sub(r"/(\d+)(?=/|$)", r"_._\1", module.replace(".", "/"))
    return f"{path}/{last}:0"


def h5_model_name(class_name: str) -> str:
    """Keras' snake case of a class name: TFBertModel -> tf_bert_model, TFMPNetModel -> tfmp_net_model."""
    spaced = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", class_name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", spaced).lower()
