"""What graphs that change the shape of a request need to know about it."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from flowformers.errors import InvalidInput
from flowformers.models.bodies import Tensors
from flowformers.types import Tensor


def with_mask(tensors: Tensors, what: str) -> dict[str, Tensor]:
    """The inputs [B, S] in the order of their names, an attention_mask among them.

    Raises InvalidInput, which says what `what` takes, for inputs of another shape or without input_ids.
    """
    if "input_ids" not in tensors or any(value.shape.rank != 2 for value in tensors.values()):
        given = ", ".join(f"{name} {value.shape}" for name, value in tensors.items())
        raise InvalidInput(f"{what} takes input_ids and what goes with them, each [batch, length]; got {given}")
    masked = {"attention_mask": tf.ones_like(tensors["input_ids"]), **tensors}
    return dict(sorted(masked.items()))


def is_per_token(answer: Any, what: str) -> bool:
    """Whether an answer [B, ...] has the sequence as its second axis: the only other one of unknown size.

    Raises InvalidInput for hidden states and attentions, whose first axis is not the batch.
    """
    if not isinstance(answer, tf.Tensor):
        raise InvalidInput(f"{what} can't return hidden states or attentions: switch them off in the config")
    return answer.shape.rank > 1 and answer.shape[1] is None
