"""Sentence encoders: text -> one vector."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from flowformers.export.text.lowercase import lower
from flowformers.text import TFTokenizer
from flowformers.text.specials import SPACE
from flowformers.types import Tensor

# What str.strip() takes off.
EDGE = rf"(?:{SPACE}|[\x{{1c}}-\x{{1f}}])+"


def bodies(model: Any, graph: TFTokenizer) -> dict[str, Callable[..., Mapping[str, Tensor]]]:
    """`text`: sentence_embedding, float32 [B, H], as encode() makes it of the same text; `tokenize`: the ids and mask
    that it runs on, from which a server knows how many tokens it took.
    """

    def tokenize(text: Tensor) -> Mapping[str, Tensor]:
        batch = graph.encode([_prepared(model, text)])
        return {name: getattr(batch, name) for name in model.serving_inputs if hasattr(batch, name)}

    def text(text: Tensor) -> Mapping[str, Tensor]:
        return model.serving(tokenize(text))  # type: ignore[no-any-return]

    return {"text": text, "tokenize": tokenize}


def _prepared(model: Any, text: Tensor) -> Tensor:
    """The prompt in front, white space at the ends off, lower case where the folder says so."""
    text = tf.strings.join([model.prompt, text]) if model.prompt else text
    text = tf.strings.regex_replace(text, f"^{EDGE}|{EDGE}$", "")
    return lower(text) if model.lower_case else text
