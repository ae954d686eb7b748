"""From tokens to a model's answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from flowformers.errors import ConfigError
from flowformers.text import Encoded
from flowformers.types import Tensor


def answers_of(model: Any, batch: Encoded, change: Callable[[Tensor], Tensor] = lambda x: x) -> Any:
    """The model's output. change: what is done to each input, int32 [rows, S], first."""
    names = [name for name in model.serving_inputs if hasattr(batch, name)]
    return model({name: change(getattr(batch, name)) for name in names}, return_dict=True)


def logits_of(model: Any, batch: Encoded, change: Callable[[Tensor], Tensor] = lambda x: x) -> Tensor:
    """Its logits, float32."""
    return tf.cast(answers_of(model, batch, change)["logits"], tf.float32)


def labels_of(config: Any) -> list[str]:
    """The names of a classifier's labels in the order of its logits. Raises ConfigError where one has none."""
    numbers = range(config.num_labels)
    if any(number not in config.id2label for number in numbers):
        raise ConfigError(
            f"expected id2label to be counted from 0, as it names the {len(numbers)} logits; got {config.id2label} in "
            "config.json. Correct it there, or give id2label to from_pretrained"
        )
    return [str(config.id2label[number]) for number in numbers]
