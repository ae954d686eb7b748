"""flowformers inspect SAVED_MODEL: the signatures in saved_model_cli's form; ops, precision, size, oldest server."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flowformers.cli.tensorflow import require_tensorflow
from flowformers.errors import NotFound

INIT_OP = "__saved_model_init_op"


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument(
        "folder", metavar="SAVED_MODEL", type=Path, help="version folder, its parent, or a saved checkpoint"
    )
    parser.add_argument("--signature", help="print this one only")


def run(arguments: argparse.Namespace) -> int:
    """Print the signatures, and what the whole holds unless one of them was asked for."""
    require_tensorflow("inspect")
    from flowformers.export import inspection, saved_model

    path = find(arguments.folder)
    for meta_graph in saved_model.read(path).meta_graphs:
        print("\n".join(lines(meta_graph, arguments.signature)))
        if arguments.signature is None:
            print("\n" + "\n".join(inspection.describe(path.parent, meta_graph)))
    return 0


def find(folder: Path) -> Path:
    """The saved_model.pb meant by a folder: its own, or that of its highest version. Raises NotFound."""
    for base in (folder, folder / "saved_model"):
        if (base / "saved_model.pb").is_file():
            return base / "saved_model.pb"
        versions = [path for path in base.glob("*/saved_model.pb") if path.parent.name.isdigit()]
        if versions:
            return max(versions, key=lambda path: int(path.parent.name))
    raise NotFound(f"expected saved_model.pb in {folder}, or in a numbered version below it; there is none")


def lines(meta_graph: Any, only: str | None = None) -> Iterator[str]:
    """The text for one meta graph."""
    tags = ", ".join(repr(str(tag)) for tag in meta_graph.meta_info_def.tags)
    yield f"MetaGraphDef with tag-set: {tags} contains the following SignatureDefs:"
    known = [name for name in sorted(meta_graph.signature_def) if name != INIT_OP]
    names = [name for name in known if only in (None, name)]
    if not names:
        raise NotFound(f"expected a signature {only!r}; there are {', '.join(known) or 'none'}")
    for name in names:
        signature = meta_graph.signature_def[name]
        yield f"\nsignature_def['{name}']:"
        yield "  The given SavedModel SignatureDef contains the following input(s):"
        yield from _tensors("inputs", signature.inputs)
        yield "  The given SavedModel SignatureDef contains the following output(s):"
        yield from _tensors("outputs", signature.outputs)
        yield f"  Method name is: {signature.method_name}"


def _tensors(side: str, infos: Any) -> Iterator[str]:
    from flowformers.wire.tensors import DTYPES

    for name, info in sorted(infos.items()):
        yield f"    {side}['{name}'] tensor_info:"
        yield f"        dtype: {DTYPES[info.dtype][0] if info.dtype in DTYPES else info.dtype}"
        yield f"        shape: {_shape(info.tensor_shape)}"
        yield f"        name: {info.name}"


def _shape(shape: Any) -> str:
    if shape.unknown_rank:
        return "unknown_rank"
    return "(" + ", ".join(str(dim.size) for dim in shape.dim) + ")"
