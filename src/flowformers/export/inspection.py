"""What a SavedModel holds: ops, precision, size, and the oldest TensorFlow Serving that loads it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from flowformers.errors import ExportError
from flowformers.export import saved_model
from flowformers.export.compatibility import Need, needs, nodes, oldest


def oldest_serving(folder: Path) -> str:
    """The oldest TensorFlow Serving release that loads the SavedModel in a folder: "2.12".

    Raises ExportError where none does.
    """
    (meta,) = saved_model.read(folder / saved_model.FILE).meta_graphs
    return oldest(needs(meta.graph_def))


def describe(folder: Path, meta_graph: Any) -> Iterator[str]:
    """Lines for `flowformers inspect`."""
    ops = Counter(node.op for node in nodes(meta_graph.graph_def))
    yield f"Ops: {', '.join(f'{op} x {count}' if count > 1 else op for op, count in sorted(ops.items()))}"
    yield f"Precision: {', '.join(_precision(folder, meta_graph.graph_def)) or 'no weights'}"
    yield f"Size: {', '.join(_sizes(folder))}"
    yield f"Oldest TensorFlow Serving: {_oldest(meta_graph.graph_def)}"


def _precision(folder: Path, graph: Any) -> Iterator[str]:
    """The weights' dtypes, the one with most numbers first."""
    numbers = _in_variables(folder) + _in_constants(graph)
    yield from (f"{dtype} x {count:,}" for dtype, count in numbers.most_common())


def _in_variables(folder: Path) -> Counter[str]:
    prefix = folder / "variables" / "variables"
    numbers: Counter[str] = Counter()
    if not prefix.with_suffix(".index").is_file():
        return numbers
    reader = tf.train.load_checkpoint(str(prefix))
    dtypes = reader.get_variable_to_dtype_map()
    for name, shape in reader.get_variable_to_shape_map().items():
        if _is_weight(dtypes[name]):
            numbers[dtypes[name].name] += int(np.prod(shape, dtype=np.int64))
    return numbers


def _is_weight(dtype: Any) -> bool:
    """Not the tables of text, and not the checkpoint's own account of objects."""
    return bool(dtype.is_floating or dtype == tf.int8)


def _in_constants(graph: Any) -> Counter[str]:
    numbers: Counter[str] = Counter()
    for tensor in (node.attr["value"].tensor for node in nodes(graph) if node.op == "Const"):
        dtype, shape = tf.as_dtype(tensor.dtype), [axis.size for axis in tensor.tensor_shape.dim]
        if shape and _is_weight(dtype):
            numbers[dtype.name] += int(np.prod(shape, dtype=np.int64))
    return numbers


def _sizes(folder: Path) -> Iterator[str]:
    sizes: Counter[str] = Counter()
    for path in folder.rglob("*"):
        if path.is_file():
            sizes[path.relative_to(folder).parts[0]] += path.stat().st_size
    yield f"{sum(sizes.values()) / 1e6:.1f} MB"
    yield from (f"{name} {size / 1e6:.1f} MB" for name, size in sizes.most_common() if size >= 50_000)


def _oldest(graph: Any) -> str:
    try:
        found = needs(graph)
    except ExportError as error:
        return f"none: {error}"
    return oldest(found) + _because(found)


def _because(found: list[Need]) -> str:
    newest = [need.what for need in found if need.since == found[0].since]
    return f", for {', '.join(newest)}" if newest else " or older"
