"""Eager mode: each block is one call of a graph that all blocks share, instead of some fifty ops."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tensorflow as tf

from flowformers.nn.packing import Bucket, Layout, Packed
from flowformers.nn.parts import Group, Part, in_place_of, walk
from flowformers.types import Tensor

Biases = Sequence[Tensor | None]
Weight = tuple[str, Part, str]  # a part's path, the part, and the name of one of its weights
# block, hidden, packed, biases -> hidden and attention weights, as Block.apply.
Apply = Callable[[Any, Tensor, Packed, Biases], tuple[Tensor, Tensor]]


class Shared:
    """One block traced, to be run with the weights of any block that is built as it is."""

    def __init__(self, block: Group, apply: Apply) -> None:
        """apply: calls a block's own, with all that does not change from call to call."""
        self._plan, self._apply = _plan(block, _weights(block)), apply
        self._traced: dict[Any, Any] = {}

    def apply(self, block: Group, hidden: Tensor, packed: Packed, biases: Biases) -> tuple[Tensor, Tensor] | None:
        """See Block.apply. None where more than the values of the block's weights differ: a user may have replaced a
        part of it."""
        parts = _weights(block)
        if _plan(block, parts) != self._plan:
            return None
        place, free = _place(packed), [tf.TensorSpec([None, hidden.shape[1]], hidden.dtype), *map(_free, biases)]
        key = (*free, *(bucket.layout.slots is None for bucket in packed.buckets))
        if key not in self._traced:
            self._traced[key] = self._trace(block, parts, free, place)
        weights = [part.read(name) for _, part, name in parts]
        return self._traced[key](hidden, weights, place, list(biases))  # type: ignore[no-any-return]

    def _trace(self, block: Group, parts: Sequence[Weight], free: Sequence[Any], place: Any) -> Any:
        """free: of the hidden states and the biases."""

        def run(hidden: Tensor, weights: Sequence[Any], place: Any, biases: Biases) -> tuple[Tensor, Tensor]:
            given = {(id(part), name): weight for (_, part, name), weight in zip(parts, weights, strict=True)}
            with in_place_of(given):
                return self._apply(block, hidden, _packed(place), biases)

        weights = [part.read(name) for _, part, name in parts]
        spec = tf.nest.map_structure(_any_rows, place)
        return tf.function(run, autograph=False).get_concrete_function(free[0], weights, spec, free[1:])


def _weights(block: Group) -> list[Weight]:
    return [(path, part, name) for path, part in walk(block) for name in part.kinds]


def _plan(block: Group, parts: Sequence[Weight]) -> tuple[list[type[Group]], list[tuple[str, type[Part], str, Any]]]:
    weights = [(path, type(part), name, getattr(part, name).shape) for path, part, name in parts]
    return [type(group) for group in _groups(block)], weights


def _groups(group: Group) -> Iterator[Group]:
    """The group and all below it."""
    yield group
    for child in vars(group).values():
        if isinstance(child, Group):
            yield from _groups(child)


def _place(packed: Packed) -> Any:
    """What a block needs to know of where its tokens stand, as tensors: another length is no other graph."""
    layouts = [bucket.layout for bucket in packed.buckets]
    sizes = [tf.convert_to_tensor([layout.batch, layout.length]) for layout in layouts]
    return sizes, [layout.slots for layout in layouts], packed.sizes


def _packed(place: Any) -> Packed:
    """The reverse of _place; `first` is empty, as no block reads it."""
    sizes, slots, tokens = place
    buckets = [Bucket(Layout(size[0], size[1], places)) for size, places in zip(sizes, slots, strict=True)]
    return Packed(buckets[0].layout, tf.constant([], tf.int32), buckets, tokens)


def _free(bias: Tensor | None) -> Any:
    """Of any size, but for axes of one, which may stand for all of the batch or of the heads."""
    return None if bias is None else tf.TensorSpec([1 if size == 1 else None for size in bias.shape], bias.dtype)


def _any_rows(tensor: Tensor | None) -> Any:
    """slots are int32 [T, 1]; what else there is has as many numbers as there are buckets, or two."""
    return None if tensor is None else tf.TensorSpec([None, 1] if tensor.shape.rank == 2 else tensor.shape, tf.int32)
