"""Lower case of whole texts."""

from __future__ import annotations

import tensorflow as tf

from flowformers.types import Tensor

SIGN = "\U0010ffff"  # no character, so nothing that has a case; where a text holds it, it is written otherwise, too
SPELLINGS = ((SIGN, f"{SIGN}1"), (r"\x00", f"{SIGN}0"))


def lower(text: Tensor) -> Tensor:
    """text: string [...], valid UTF-8. As str.lower(): TensorFlow's op alone ends each text at its first zero byte."""
    for pattern, spelling in SPELLINGS:
        text = tf.strings.regex_replace(text, pattern, spelling)
    text = tf.strings.lower(text, encoding="utf-8")
    text = tf.strings.regex_replace(text, f"{SIGN}0", "\0")
    return tf.strings.regex_replace(text, f"{SIGN}1", SIGN)
