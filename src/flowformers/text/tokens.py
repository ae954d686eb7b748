"""What an algorithm makes of a text, and what it must be able to do."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from flowformers.types import Tensor


class Tokens(NamedTuple):
    """The tokens of n texts without the post-processor's special tokens: RaggedTensors of int64 [n, (tokens)].

    ids; start and end, in Unicode characters of the text decoded with errors="replace"; word, the number of the
    pre-token that a token belongs to, from 0 in every text. All as an Encoding of `tokenizers` has them with
    add_special_tokens=False.
    """

    ids: Any
    start: Any
    end: Any
    word: Any


class Algorithm(Protocol):
    """text -> tokens, as one kind of tokenizer.json's model does it."""

    def __call__(self, text: Tensor) -> Any:
        """text: string [n]. Returns a RaggedTensor of int64 ids [n, (tokens)]."""
        ...

    def with_offsets(self, text: Tensor) -> Tokens:
        """text: string [n]."""
        ...
