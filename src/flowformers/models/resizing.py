"""Another vocabulary size for a model that has its weights."""

from __future__ import annotations

from typing import Any

from flowformers.errors import InvalidInput
from flowformers.nn.parts import Bias, walk


def resize(model: Any, size: int) -> None:
    """Cut the vocabulary or extend it by freshly drawn rows, in the word embeddings and the output bias tied to them.

    The optimiser of a compiled model knows the old variables: compile again. Raises InvalidInput below one word.
    """
    if size < 1:
        raise InvalidInput(f"expected at least one token; got {size}")
    old = model.config.vocab_size
    model.base_model.embeddings.word_embeddings.resize(size)
    for _, part in walk(model.head):
        if isinstance(part, Bias) and part.bias.shape[0] == old:
            part.resize(size)
    model.config.vocab_size = size
