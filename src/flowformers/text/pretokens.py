"""Where GPT-2's regular expression cuts text, from each character's neighbours: TensorFlow's expressions look nowhere.

The expression: 's|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from flowformers.types import Array, Tensor

MARK, SPACE, LETTER, NUMBER, OTHER = range(5)
PATTERNS = {SPACE: r"\s+", LETTER: r"\p{L}+", NUMBER: r"\p{N}+"}
SCALARS = (*range(0xD800), *range(0xE000, 0x40000))  # planes without a single letter or space are not probed
APOSTROPHE, BLANK = 0x27, 0x20
ONE, TWO = b"stmd", (b"re", b"ve", b"ll")  # what an apostrophe may take along


@cache
def classes() -> Array:
    """int8 [last character that is not OTHER + 2]: the class of every character, by `tokenizers`' own tables."""
    found = np.full(len(SCALARS), OTHER, np.int8)
    for kind, pattern in PATTERNS.items():
        for start, end in _runs(pattern):
            found[start:end] = kind
    table = np.full(SCALARS[-1] + 1, OTHER, np.int8)
    table[np.array(SCALARS)] = found
    return table[: int(np.flatnonzero(table != OTHER)[-1]) + 2]


def _runs(pattern: str) -> list[tuple[int, int]]:
    """The places in SCALARS that match, found between the pieces that stay where matches are taken out."""
    from tokenizers import Regex, pre_tokenizers

    text = "".join(map(chr, SCALARS))
    kept = pre_tokenizers.Split(Regex(pattern), "removed").pre_tokenize_str(text)
    edges = [0, *(place for _, span in kept for place in span), len(text)]
    return [(edges[i], edges[i + 1]) for i in range(0, len(edges), 2) if edges[i] < edges[i + 1]]


def starts(kind: Tensor, byte: Tensor) -> Tensor:
    """kind: int8 [c], class of each character; byte: int32 [c], its first byte. Returns bool [c]: a piece begins here.

    A MARK stands alone and cuts; each row must end in one, so that no row sees its neighbour.
    """
    import tensorflow as tf

    k, b = _near(kind, MARK), _near(byte, 0)
    after_space = k(-1) == SPACE
    space = (kind == SPACE) & (~after_space | (k(1) > SPACE))  # the last space before a word leaves the run
    word = (kind > SPACE) & tf.where(after_space, b(-1) != BLANK, kind != k(-1))  # a plain space is taken along
    first = (kind == MARK) | space | word
    inside, after = _contractions(first, byte, b)
    return (first | (after & (kind != SPACE))) & ~inside


def _contractions(first: Tensor, byte: Tensor, b: Callable[[int], Tensor]) -> tuple[Tensor, Tensor]:
    """bool [c] each: characters within 's, 're and the like, and characters just behind one."""
    import tensorflow as tf

    apostrophe = first & (byte == APOSTROPHE)
    short = _near(apostrophe & tf.gather([code in ONE for code in range(256)], b(1)), False)
    pair = b(1) * 256 + b(2)
    long = _near(apostrophe & tf.reduce_any([pair == int.from_bytes(two) for two in TWO], 0), False)
    return short(-1) | long(-1) | long(-2), short(-2) | long(-3)


def _near(x: Tensor, fill: int | bool) -> Callable[[int], Tensor]:
    """x shifted: near(1) holds each element's right neighbour, near(-1) its left. Reaches -3 to 2."""
    import tensorflow as tf

    size = tf.size(x)
    padded = tf.concat([tf.fill([3], tf.constant(fill, x.dtype)), x, tf.fill([2], tf.constant(fill, x.dtype))], 0)
    return lambda offset: tf.slice(padded, [3 + offset], [size])
