"""A table of words as one constant of the graph: FastWordpiece's model without any suffix."""

from __future__ import annotations

from collections.abc import Iterable

from flowformers.errors import InvalidInput
from flowformers.text.rewriting import buffer, piece_model, tensorflow_text
from flowformers.text.wordpiece import LONGEST, PRIVATE
from flowformers.types import Tensor

RESERVED = "\x11"  # FastWordpiece's own sign for the end of a word: no word may hold it


def table_of(names: Iterable[str]) -> bytes:
    """Words, numbered from 1. Longer ones than LONGEST are not found. Raises InvalidInput for RESERVED in one."""
    names = list(names)
    held = set("".join(names))
    if RESERVED in held:
        raise InvalidInput("the vocabulary holds U+0011, which has no exact graph form")
    other = next(chr(code) for code in PRIVATE if chr(code) not in held)
    fits = [name if len(name.encode()) <= LONGEST else f"{other}{number}" for number, name in enumerate(names)]
    return piece_model([other, *fits], 1 << 20, other * 2, other)


def lookup(table: bytes, words: Tensor) -> Tensor:
    """words: string [w], none empty or with RESERVED. Returns int64 [w], each one's number, 0 where there is none."""
    import tensorflow as tf

    found = (
        tensorflow_text().FastWordpieceTokenizer(model_buffer=buffer(table), no_pretokenization=True).tokenize(words)
    )
    return tf.cast(found.values, tf.int64)
