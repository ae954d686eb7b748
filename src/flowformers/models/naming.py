"""Which tensor of a checkpoint belongs to which weight: a family's and a head's names, applied to one model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flowformers.checkpoint import NameTable, Parameter
from flowformers.families import Family
from flowformers.heads import HeadSpec
from flowformers.nn.parts import Bias, Part, walk

SUFFIX = {"kernel": "weight", "table": "weight", "gamma": "weight", "beta": "bias", "bias": "bias"}


@dataclass(frozen=True)
class Slot:
    """One weight of a model: its checkpoint parameter, and the part and attribute that hold it."""

    parameter: Parameter
    part: Part
    attribute: str

    @property
    def variable(self) -> Any:
        """The Keras variable."""
        return getattr(self.part, self.attribute)


def slots(family: Family, spec: HeadSpec, encoder: Any, head: Any) -> list[Slot]:
    """Every weight of a model. Encoder weights are required of a checkpoint, heads and poolers may be new."""
    table = NameTable(prefix=family.prefix, rows=family.names)
    heads = NameTable(prefix="", rows=spec.names)
    tied = [heads.to_file(path) for path, part in walk(head) if isinstance(part, Bias)]
    aliases = _aliases(table.to_file("embeddings.word_embeddings"), tied)
    parts = [(table.to_file(path), part, "pooler" not in path) for path, part in walk(encoder)]
    parts += [(heads.to_file(path), part, False) for path, part in walk(head)]
    return [slot for module, part, required in parts for slot in _slots(module, part, required, aliases)]


def _aliases(words: str, tied: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    """The names under which PyTorch saves weights again. tied: output layers with the kernel of the word embeddings,
    which is the layer itself (ELECTRA, DistilBERT) or a decoder in it."""
    kernels = tuple(f"{module}{decoder}.weight" for module in tied for decoder in ("", ".decoder"))
    return {f"{words}.weight": kernels} | {f"{module}.bias": (f"{module}.decoder.bias",) for module in tied}


def _slots(module: str, part: Part, required: bool, aliases: Mapping[str, tuple[str, ...]]) -> Iterator[Slot]:
    for attribute, kind in part.kinds.items():
        name = f"{module}.{SUFFIX[kind]}"
        shape = tuple(getattr(part, attribute).shape)
        yield Slot(Parameter(name, kind, shape, required, aliases.get(name, ())), part, attribute)  # type: ignore[arg-type]


def ignorable(names: list[str], family: Family) -> list[str]:
    """The unused tensors that deserve a word: any model may leave poolers and the family's other heads unread."""
    others = {path.lstrip("/").split(".")[0] for spec in family.heads.values() for path in spec.names.values()}
    return [name for name in names if name.split(".")[0] not in others and "pooler" not in name.split(".")]
