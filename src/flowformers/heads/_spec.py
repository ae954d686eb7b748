"""What a head is: a value that a family holds, and the layer that it makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar

from flowformers.nn.encoder import Encoded, Encoder, EncoderSpec
from flowformers.nn.parts import Group
from flowformers.types import Tensor

Config = Any
Answers = dict[str, Tensor]
Weights = Mapping[str, Tensor]
NONE: Weights = MappingProxyType({})


class Head(Group):
    """A layer from encoded tokens to named answers, and the loss of those answers.

    label_axes: of its first label.
    """

    label_axes: ClassVar[tuple[str, ...]] = ("batch",)

    def answer(self, encoded: Encoded, encoder: Encoder, *, training: bool) -> Answers:
        """The named output tensors, in the order of the output class."""
        raise NotImplementedError

    def loss(self, answers: Mapping[str, Tensor], labels: Mapping[str, Tensor], weights: Weights = NONE) -> Tensor:
        """float [B] for a loss of each sequence, float [1] for a mean over labelled tokens.

        weights: by label, of each sequence, or where there is a label for each token of tokens; a label may have none.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class HeadSpec:
    """One public class of a family.

    layer: makes the head. names: head path -> checkpoint path. output: the output class. labels: what call() takes
    for the loss -> the output it belongs to. auto: the Auto classes that offer it. pooler: whether the encoder has
    one. choices: inputs are [B, choices, S]. couples_positions: the loss sees padded positions, so training is dense.
    decoder: call() takes the decoder's arguments.
    """

    layer: Callable[[Config, EncoderSpec], Head]
    output: str
    names: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    auto: tuple[str, ...] = ()
    pooler: bool = False
    choices: bool = False
    couples_positions: bool = False
    decoder: bool = False
