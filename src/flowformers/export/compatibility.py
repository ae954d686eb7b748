"""Which TensorFlow Serving releases load a graph: its ops, attributes and dtypes against serving_ops.txt.

The table stands for a server on a CPU. scripts/serving_ops writes it and says where it comes from. A server ignores an
attribute that it does not know, so one that is not at its default counts: the graph would mean something else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import tensorflow as tf

from flowformers.errors import ExportError, InvalidInput

Release = tuple[int, int]


@dataclass(frozen=True)
class Op:
    """An op of the table: since which release it has each attribute, and each dtype where they are listed."""

    since: Release
    attributes: Mapping[str, Release]
    dtypes: Mapping[str, Mapping[str, Release]]


@dataclass(frozen=True, order=True)
class Need:
    """Something in a graph that `since` release has and older ones have not."""

    since: Release
    what: str


def text_of(release: Release) -> str:
    """A release as people write it: "2.12"."""
    return f"{release[0]}.{release[1]}"


def parse_release(text: str) -> Release:
    """The release of "2.12" or "2.12.1". Raises InvalidInput for one that is not in the table."""
    parts = text.split(".")
    known = list(releases())
    if all(part.isdigit() for part in parts) and len(parts) in (2, 3) and (int(parts[0]), int(parts[1])) in known:
        return int(parts[0]), int(parts[1])
    raise InvalidInput(
        f"expected a TensorFlow Serving release from {text_of(known[0])} to {text_of(known[-1])}; got {text!r}"
    )


def check(graph: Any, min_serving: str | None = None) -> list[Need]:
    """What a GraphDef needs beyond the oldest release of the table, newest first.

    Raises ExportError for an op, attribute or dtype that no release has, and for any that is younger than min_serving.
    """
    found = needs(graph)
    if min_serving is None:
        return found
    limit = parse_release(min_serving)
    younger = [need for need in found if need.since > limit]
    if younger:
        listed = ", ".join(f"{need.what} ({text_of(need.since)})" for need in younger)
        raise ExportError(
            f"expected a graph for TensorFlow Serving {text_of(limit)}; these entered later: {listed}. "
            f"Allow {text_of(younger[0].since)}, or leave out the signature that uses them"
        )
    return found


def oldest(found: list[Need]) -> str:
    """The oldest release with all of it, "2.9" where nothing is newer than the table."""
    return text_of(max([need.since for need in found], default=next(iter(releases()))))


def needs(graph: Any) -> list[Need]:
    """See check()."""
    found: set[Need] = {_version(graph)}
    missing: dict[str, str] = {}
    for node in nodes(graph):
        for what, since in _uses(node):
            if since is None:
                missing.setdefault(what, node.name)
            else:
                found.add(Need(since, what))
    if missing:
        listed = ", ".join(f"{what} (node {node})" for what, node in sorted(missing.items()))
        raise ExportError(f"no TensorFlow Serving release up to {text_of([*releases()][-1])} has on a CPU: {listed}")
    first = next(iter(releases()))
    return sorted((need for need in found if need.since > first), key=lambda need: (-need.since[1], need.what))


def nodes(graph: Any) -> Iterator[Any]:
    """Every node of the graph and of the functions in its library that is an op and no call by name."""
    functions = {function.signature.name for function in graph.library.function}
    yield from (node for node in graph.node if node.op not in functions)
    for function in graph.library.function:
        yield from (node for node in function.node_def if node.op not in functions)


def _version(graph: Any) -> Need:
    """The first release that takes the GraphDef's version."""
    fits = [
        release
        for release, version in releases().items()
        if version >= graph.versions.min_consumer and version not in graph.versions.bad_consumers
    ]
    if not fits:
        raise ExportError(f"no TensorFlow Serving release takes a GraphDef for {graph.versions.min_consumer} or newer")
    return Need(fits[0], f"GraphDef version {graph.versions.min_consumer}")


def _uses(node: Any) -> Iterator[tuple[str, Release | None]]:
    """The op, its attributes and its dtypes, each with its first release; None where there is none."""
    op = table().get(node.op)
    if op is None:
        yield node.op, None
        return
    yield node.op, op.since
    for name, value in node.attr.items():
        if name.startswith("_"):  # hints of the runtime's own, which no op declares
            continue
        yield f"{node.op}.{name}", op.attributes.get(name)
        for dtype in _dtypes(value) if name in op.dtypes else ():
            yield f"{node.op} of {dtype}", op.dtypes[name].get(dtype)


def _dtypes(value: Any) -> list[str]:
    numbers = [value.type] if value.WhichOneof("value") == "type" else list(value.list.type)
    return [tf.as_dtype(number).name for number in numbers]


# The table


@cache
def _lines() -> list[str]:
    text = (files(__package__) / "serving_ops.txt").read_text(encoding="utf-8")
    return [line for line in text.splitlines() if not line.startswith("#")]


@cache
def releases() -> dict[Release, int]:
    """Release -> the GraphDef version it was built with, oldest first."""
    pairs = [word.split("=") for word in _lines()[0].split()[1:]]
    return {_release(name): int(version) for name, version in pairs}


@cache
def table() -> dict[str, Op]:
    """Every op that the newest release in the table has."""
    return dict(map(_op, _lines()[1:]))


def _op(line: str) -> tuple[str, Op]:
    head, *rest = line.split(" ")
    name, since = _dated(head)
    attributes, dtypes = {}, {}
    for word in rest:
        left, _, listed = word.partition("=")
        attribute, first = _dated(left)
        attributes[attribute] = max(first, since)
        if listed:
            dtypes[attribute] = dict(map(_dated, listed.split(",")))
    return name, Op(since, attributes, dtypes)


def _dated(word: str) -> tuple[str, Release]:
    name, _, since = word.partition("@")
    return name, _release(since) if since else next(iter(releases()))


def _release(text: str) -> Release:
    major, minor = text.split(".")
    return int(major), int(minor)
