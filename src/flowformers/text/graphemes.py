"""The Precompiled normaliser of `tokenizers` (SentencePiece's nmt_nfkc and its like).

A grapheme of less than six bytes is looked up as a whole, and the shortest key that it begins with stands for all of
it; otherwise its characters are looked up one by one. Which characters form graphemes is probed from the library.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

from flowformers.errors import InvalidInput
from flowformers.text import charmap
from flowformers.types import Array, Tensor

EXTENDS, PREPENDS, BREAKS, KEY = 1, 2, 4, 8  # what a character is to its neighbours; and whether it has an entry
PICTURE, PAINTS = 16, 32  # a picture, and what may stand between one and a joiner; the next picture then belongs to it
JOINER = 0x200D
SHORT = 6  # bytes from which a grapheme is no longer looked up
PROBED = (*range(0xD800), *range(0xE000, 0x20000), *range(0xE0000, 0xE1000))  # where such characters are
JAMO = frozenset((*range(0x1100, 0x1200), *range(0xA960, 0xA980), *range(0xAC00, 0xD800)))
PICTURES = frozenset((0xA9, 0xAE))  # with a joiner less than SHORT


class Graphemes:
    """Rewrites short graphemes so that looking up characters does the rest. single: entries of one character."""

    def __init__(self, charsmap: bytes, breaks: Mapping[int, int] | frozenset[int]) -> None:
        """charsmap: a Precompiled's. breaks: more characters that no grapheme goes across. Raises InvalidInput."""
        entries = _entries(charsmap)
        self.single = {ord(key): text for key, text in entries.items() if len(key) == 1}
        pairs = {key: text for key, text in entries.items() if _counts(key, entries)}
        _check(pairs, self.single)
        kinds = _kinds()
        kinds[[*self.single]] |= KEY
        kinds[[*breaks]] = BREAKS
        self._borders = np.concatenate([[0], np.flatnonzero(np.diff(kinds)) + 1]).astype(np.int32)
        self._kinds = kinds[self._borders]
        order = sorted((ord(key[0]) << 21 | ord(key[1]), ord(text)) for key, text in pairs.items())
        self._pairs, self._composed = np.array(order or [(-1, 0)], np.int64).T

    def __call__(self, text: Tensor) -> Tensor:
        """text: string [n]."""
        import tensorflow as tf

        letters = tf.strings.unicode_decode(text, "UTF-8")
        code, size = letters.values, tf.size(letters.values, tf.int64)
        kind = tf.gather(self._kinds, tf.searchsorted(self._borders, code, side="right") - 1)
        joined = self._joined(kind, letters) | self._pictured(code, kind, letters)
        first = tf.where(~joined)[:, 0]
        end = tf.concat([first, size[None]], 0)[1:]
        bytes_until = tf.cumsum(1 + sum(tf.cast(code > limit, tf.int64) for limit in (0x7F, 0x7FF, 0xFFFF)))
        until = tf.concat([[0], bytes_until], 0)
        short = (end - first > 1) & (tf.gather(until, end) - tf.gather(until, first) < SHORT)
        one, two = (tf.gather(code, tf.minimum(place, size - 1)) for place in (first, first + 1))
        is_key = tf.gather(kind, first) & KEY > 0
        pair = tf.cast(one, tf.int64) * (1 << 21) + tf.cast(two, tf.int64)
        at = tf.minimum(tf.searchsorted(self._pairs, pair), len(self._pairs) - 1)
        is_pair = tf.gather(self._pairs, at) == pair
        composed = tf.cast(tf.gather(self._composed, at), tf.int32)
        code = tf.tensor_scatter_nd_update(code, first[:, None], tf.where(short & is_pair & ~is_key, composed, one))
        kept = tf.where(short & (is_pair | is_key), tf.ones_like(end), end - first)
        values = tf.gather(code, tf.ragged.range(first, first + kept).values)
        before = tf.searchsorted(first, letters.row_splits)
        splits = tf.gather(tf.concat([[0], tf.cumsum(kept)], 0), before)
        return tf.strings.unicode_encode(tf.RaggedTensor.from_row_splits(values, splits, validate=False), "UTF-8")

    def _joined(self, kind: Tensor, letters: Any) -> Tensor:
        """kind: int8 [c]. Returns bool [c]: a character belongs to the grapheme of the one before."""
        import tensorflow as tf

        before = tf.concat([tf.constant([BREAKS], tf.int8), kind], 0)[:-1]
        begins = tf.scatter_nd(
            letters.row_splits[:-1, None], tf.ones_like(letters.row_splits[:-1]), [tf.size(kind) + 1]
        )
        together = ((kind & EXTENDS > 0) & (before & BREAKS == 0)) | ((before & PREPENDS > 0) & (kind & BREAKS == 0))
        return together & (begins[:-1] == 0)

    def _pictured(self, code: Tensor, kind: Tensor, letters: Any) -> Tensor:
        """code: int32, kind: int8 [c]. Returns bool [c]: a picture that a joiner binds to the picture before it."""
        import tensorflow as tf

        at = tf.where((kind[1:] & PICTURE > 0) & (code[:-1] == JOINER))[:, 0] + 1
        solid = kind & PAINTS == 0
        places = tf.concat([tf.constant([-1], tf.int64), tf.where(solid)[:, 0]], 0)
        until = tf.cumsum(tf.cast(solid, tf.int64))
        behind_joiner = tf.gather(places, tf.gather(until, at - 1) - 1)  # the last solid one before the joiner
        row = tf.gather(letters.row_splits, tf.searchsorted(letters.row_splits, at, side="right") - 1)
        binds = (behind_joiner >= row) & (tf.gather(kind, tf.maximum(behind_joiner, 0)) & PICTURE > 0)
        return tf.tensor_scatter_nd_update(tf.zeros_like(solid), at[:, None], binds)


def _counts(key: str, entries: Mapping[str, str]) -> bool:
    """Whether a longer key is ever reached: it is short, and no shorter one is its beginning."""
    shadowed = any(key[:length] in entries for length in range(1, len(key)))
    return len(key) > 1 and len(key.encode()) < SHORT and not shadowed


def _check(pairs: Mapping[str, str], single: Mapping[int, str]) -> None:
    odd = [key for key, text in pairs.items() if len(key) != 2 or len(text) != 1 or ord(text) in single]
    firsts = {*single, *(ord(key[0]) for key in pairs)}
    odd += [chr(code) for code in (JAMO | PICTURES) & firsts]
    if odd:
        raise InvalidInput(f"Precompiled with entries for {odd[:10]} has no exact graph form")


def _entries(charsmap: bytes) -> dict[str, str]:
    """Key -> text of a Precompiled's double array (see charmap), of keys that are SHORT."""
    size = struct.unpack_from("<I", charsmap)[0]
    units = np.frombuffer(charsmap, "<u4", size // 4, 4)
    pool = charsmap[4 + size :]
    labels = np.arange(1, 256)
    found: dict[str, str] = {}
    front = [(b"", int(_offset(units[:1])[0]))]
    for _ in range(SHORT - 1):
        keys, bases = [key for key, _ in front], [base for _, base in front]
        places = np.array(bases, np.int64)[:, None] ^ labels
        inside = places < len(units)
        unit = np.where(inside, units[np.minimum(places, len(units) - 1)], 0)
        rows, columns = np.nonzero(unit & (1 << 31 | 0xFF) == labels)
        nodes = unit[rows, columns]
        after = places[rows, columns] ^ _offset(nodes)
        front = [(keys[row] + bytes([labels[c]]), int(base)) for row, c, base in zip(rows, columns, after, strict=True)]
        for (key, base), node in zip(front, nodes, strict=True):
            if node >> 8 & 1:
                start = int(units[base]) & ~(1 << 31)
                found[key.decode()] = pool[start : pool.index(b"\0", start)].decode()
    return found


def _offset(units: Array) -> Array:
    wide = units.astype(np.int64)
    return wide >> 10 << ((wide & 1 << 9) >> 6)


def _kinds() -> Array:
    """int8 [code points]: how `tokenizers` joins each character of PROBED to its neighbours."""
    kinds = np.zeros(charmap.CODE_POINTS, np.int8)
    letters = [chr(code) for code in PROBED if chr(code) not in "a\n\r\0"]
    codes = np.array([*map(ord, letters)])
    # Joined, the grapheme is replaced by its first character's entry: what is behind it disappears.
    behind = _probe({ord("a"): "x"}, [f"a{letter}" for letter in letters])
    kinds[codes[[text == "x" for text in behind]]] |= EXTENDS
    gone = {int(code): "" for code in codes}
    before = _probe(gone | {ord("a"): "x"}, [f"{letter}a" for letter in letters])
    kinds[codes[[text == "" for text in before]]] |= PREPENDS
    # Behind a break, the two accents are a grapheme of their own, short enough for an entry.
    accents = _probe({0x301: "x"}, [f"{letter}\u0301\u0302" for letter in letters])
    kinds[codes[[not text.endswith("\u0302") for text in accents]]] |= BREAKS
    # A trade mark that belongs to the grapheme before it has its accent looked up by itself.
    for bit, pattern in ((PICTURE, "{}\u200d\u2122\u0301"), (PAINTS, "\xa9{}\u200d\u2122\u0301")):
        bound = _probe({0x2122: "x"}, [pattern.format(letter) for letter in letters])
        kinds[codes[[text.endswith("\u0301") for text in bound]]] |= bit
    kinds[kinds & PICTURE > 0] &= ~PAINTS  # the second picture of three binds the third, whatever the first is
    kinds[[0, 10, 13]] = BREAKS
    return kinds


def _probe(entries: Mapping[int, str], texts: list[str]) -> list[str]:
    """Each text as a Precompiled with these entries makes it."""
    from tokenizers import normalizers

    pool, values = bytearray(b"\0"), np.full(charmap.CODE_POINTS, charmap.NONE, np.int64)
    for code, text in entries.items():
        values[code] = 0 if not text else len(pool)
        pool += text.encode() + b"\0" if text else b""
    units = charmap.trie(values)
    made = normalizers.Precompiled(struct.pack("<I", units.nbytes) + units.tobytes() + bytes(pool))
    return made.normalize_str("\n".join(texts)).split("\n")


def charsmap_of(settings: Mapping[str, Any]) -> bytes:
    """Of a tokenizer.json's Precompiled."""
    return base64.b64decode(settings["precompiled_charsmap"])
