"""How alike sentences' vectors are, by the names of sentence-transformers (util/similarity.py)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from flowformers.errors import ConfigError, InvalidInput
from flowformers.types import Array


def unit(vectors: Array) -> Array:
    """float32 [..., H] at length 1; zeros stay zeros, as in PyTorch's normalize."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), np.float32(1e-12)))


def _cosine(a: Array, b: Array) -> Array:
    return unit(a) @ unit(b).T


def _dot(a: Array, b: Array) -> Array:
    return a @ b.T


def _euclidean(a: Array, b: Array) -> Array:
    return _by_row(lambda row: -np.linalg.norm(row - b, axis=-1), a, b)


def _manhattan(a: Array, b: Array) -> Array:
    return _by_row(lambda row: -np.abs(row - b).sum(-1), a, b)


def _by_row(compare: Callable[[Array], Array], a: Array, b: Array) -> Array:
    """A row at a time: all differences at once would be [A, B, H]."""
    return np.array([compare(row) for row in a], np.float32).reshape(len(a), len(b))


SIMILARITIES: dict[str, Callable[[Array, Array], Array]] = {
    "cosine": _cosine,
    "dot": _dot,
    "euclidean": _euclidean,
    "manhattan": _manhattan,
}


def checked(name: str) -> str:
    """The name itself. Raises ConfigError for one that is not known."""
    if name not in SIMILARITIES:
        raise ConfigError(f"expected similarity_fn_name of {', '.join(SIMILARITIES)}; got {name!r}")
    return name


def similarity(name: str, a: Any, b: Any) -> Array:
    """a: [A, H] or [H]; b: [B, H] or [H]. Returns float32 [A, B], larger where they are more alike.

    Raises InvalidInput for vectors of different sizes.
    """
    rows = [np.atleast_2d(np.asarray(x, np.float32)) for x in (a, b)]
    shapes = [list(x.shape) for x in rows]
    if any(len(shape) != 2 for shape in shapes) or shapes[0][1] != shapes[1][1]:
        raise InvalidInput(f"expected vectors [A, H] and [B, H] of one size H; got {shapes[0]} and {shapes[1]}")
    return SIMILARITIES[name](*rows)
