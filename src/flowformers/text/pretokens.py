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
    return _with_contractions((kind == MARK) | space | word, kind, byte)


def _with_contractions(first: Tensor, kind: Tensor, byte: Tensor) -> Tensor:
    """first: bool [c], where pieces begin if 's, 're and the like are none. Few characters are apostrophes."""
    import tensorflow as tf

    at = tf.where(first & (byte == APOSTROPHE))[:, 0]
    one, two = (tf.gather(byte, tf.minimum(at + place, tf.size(byte, tf.int64) - 1)) for place in (1, 2))
    short = tf.boolean_mask(at, tf.gather([code in ONE for code in range(256)], one))
    pair = one * 256 + two
    long = tf.boolean_mask(at, tf.reduce_any([pair == int.from_bytes(letters) for letters in TWO], 0))
    behind = tf.concat([short + 2, long + 3], 0)  # the mark that ends each row, at the latest
    behind = tf.boolean_mask(behind, tf.gather(kind, behind) != SPACE)
    within = tf.concat([short + 1, long + 1, long + 2], 0)
    first = tf.tensor_scatter_nd_update(first, behind[:, None], tf.ones_like(behind, tf.bool))
    return tf.tensor_scatter_nd_update(first, within[:, None], tf.zeros_like(within, tf.bool))


def _near(x: Tensor, fill: int | bool) -> Callable[[int], Tensor]:
    """x shifted: near(1) holds each element's right neighbour, near(-1) its left."""
    import tensorflow as tf

    size, edge = tf.size(x), tf.constant([fill], x.dtype)
    padded = tf.concat([edge, x, edge], 0)
    return lambda offset: tf.slice(padded, [1 + offset], [size])
