"""From tokens to a model's answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from flowformers.text import Encoded
from flowformers.types import Tensor


def answers_of(model: Any, batch: Encoded, change: Callable[[Tensor], Tensor] = lambda x: x) -> Any:
    """The model's output. change: what is done to each input, int32 [rows, S], first."""
    names = [name for name in model.serving_inputs if hasattr(batch, name)]
    return model({name: change(getattr(batch, name)) for name in names}, return_dict=True)


def logits_of(model: Any, batch: Encoded, change: Callable[[Tensor], Tensor] = lambda x: x) -> Tensor:
    """Its logits, float32."""
    return tf.cast(answers_of(model, batch, change)["logits"], tf.float32)


def label_table(config: Any) -> Tensor:
    """The labels in the order of their numbers, string [C]."""
    return tf.constant([str(config.id2label[index]) for index in range(config.num_labels)])
