"""What ByteLevel and RobertaProcessing do to offsets: spaces at a token's ends are no part of its span."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from flowformers.text.bytewords import ALPHABET
from flowformers.text.pretokens import BLANK
from flowformers.text.specials import WHITE_SPACE
from flowformers.types import Tensor


def trims(processor: Mapping[str, Any] | None) -> Iterator[bool]:
    """The add_prefix_space of each part of a tokenizer.json's post_processor that trims offsets."""
    settings = processor or {}
    if settings.get("type") == "Sequence":
        for one in settings["processors"]:
            yield from trims(one)
    elif settings.get("type") in ("ByteLevel", "RobertaProcessing") and settings.get("trim_offsets", True):
        yield bool(settings.get("add_prefix_space", True))


class Trim:
    """contents: every token's own. add_prefix_space: a text's first token keeps one leading space, the added one."""

    def __init__(self, contents: Sequence[str], *, add_prefix_space: bool) -> None:
        self._leading = np.array([_leading(content) for content in contents], np.int32)
        self._trailing = np.array([_leading(content[::-1]) for content in contents], np.int32)
        self._prefix = add_prefix_space

    def __call__(
        self, token: Tensor, first: Tensor, blank: Sequence[Tensor], start: Tensor, end: Tensor
    ) -> tuple[Tensor, Tensor]:
        """All [t]: token, places in contents; first, whether it is its text's first; blank, characters swallowed before
        and behind it; start and end, with these. int64 but for first."""
        import tensorflow as tf

        leading = tf.cast(tf.gather(self._leading, token), tf.int64) + blank[0]
        trailing = tf.cast(tf.gather(self._trailing, token), tf.int64) + blank[1]
        if self._prefix:
            leading = tf.where((leading == 1) & (first | (start == 0)), tf.zeros_like(leading), leading)
        begin = tf.where(leading > 0, tf.minimum(start + leading, end), start)
        cut = (trailing > 0) & (end >= trailing)
        return begin, tf.where(cut, tf.maximum(end - trailing, begin), end)


def _leading(content: str) -> int:
    blank = ALPHABET[BLANK]
    return len(content) - len(content.lstrip("".join((blank, *map(chr, WHITE_SPACE)))))
