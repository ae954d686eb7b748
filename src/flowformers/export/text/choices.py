"""Multiple choice: a text and several continuations -> the most likely one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from flowformers.export.text.running import logits_of
from flowformers.text import TFTokenizer
from flowformers.types import Tensor


def bodies(model: Any, graph: TFTokenizer) -> dict[str, Callable[..., Mapping[str, Tensor]]]:
    """`text` takes text [B] and choices [B, N].

    Outputs: label, int32 [B], the number of the likeliest choice; choice, its string [B]; score, float32 [B];
    probabilities, a softmax over the choices, and logits, float32 [B, N].
    """

    def text(text: Tensor, choices: Tensor) -> Mapping[str, Tensor]:
        sizes = tf.shape(choices)
        pairs = [tf.repeat(text, sizes[1]), tf.reshape(choices, [-1])]
        logits = logits_of(model, graph.encode(pairs), lambda x: tf.reshape(x, tf.concat([sizes, tf.shape(x)[1:]], 0)))
        probabilities = tf.nn.softmax(logits)
        best = tf.argmax(probabilities, axis=-1, output_type=tf.int32)
        return {
            "label": best,
            "choice": tf.gather(choices, best, batch_dims=1),
            "score": tf.reduce_max(probabilities, axis=-1),
            "probabilities": probabilities,
            "logits": logits,
        }

    return {"text": text}
