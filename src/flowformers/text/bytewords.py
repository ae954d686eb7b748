"""Text -> the words that the ByteLevel pre-tokenizer makes of it, spelled with one letter for each byte."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from flowformers.prepared import held
from flowformers.text import pretokens
from flowformers.text.specials import SENTINELS, SPACE, AddedToken, valid_utf8, where_held
from flowformers.types import Array, Tensor

EDGE = SENTINELS[-1]  # ends every row; before text that gets a space, it becomes that space
PRIVATE = 0xE001  # the first of the letters that stand for added tokens; SPELLING has none of them


PRINTABLE = (*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100))
_other = iter(range(0x100, 0x200))
ALPHABET = tuple(chr(byte if byte in PRINTABLE else next(_other)) for byte in range(256))  # in a vocabulary
# In a graph. SentencePiece keeps pieces in a hash table whose keys crowd where they differ in their last byte only, as
# with plain ASCII: with letters of two bytes, far from each other, it took two thirds of the time with 50,000 pieces.
SPELLING = tuple(chr(0x80 + byte * 1103 % 1920) for byte in range(256))
_spelled = str.maketrans(dict(zip(ALPHABET, SPELLING, strict=True)))


def spelled(piece: str) -> str:
    """A vocabulary's piece as Words spell it."""
    return piece.translate(_spelled)


@dataclass(frozen=True)
class Words:
    """The words of n texts in one row, where an EDGE, a word of its own, ends each text.

    text: string [w]; begin: int64 [w + 1], the first byte of each word and the end; space: bool [w], white space only;
    ends: int64 [n], how many words there are up to the end of each text. raw: int32 [b], bytes with marks; heads:
    int64 [c], where each character begins; limits: int64 [n], bytes up to the end of each text; widths: int64 [256],
    how many characters of the original begin with a byte.
    """

    text: Tensor
    begin: Tensor
    space: Tensor
    ends: Tensor
    raw: Tensor
    heads: Tensor
    limits: Tensor
    widths: Array

    def spans(self, begin: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
        """Bytes -> characters of the original, counted through all texts. begin, end: int64 [t]."""
        import tensorflow as tf

        width = tf.gather(self.widths, tf.gather(self.raw, self.heads))
        after = tf.cumsum(width)
        owner = tf.searchsorted(self.heads, tf.concat([begin, end - 1], 0), side="right", out_type=tf.int64) - 1
        first, last = tf.split(owner, 2)
        start = tf.gather(after - width, first)
        return start, tf.maximum(tf.gather(after, last), start + 1)  # an added space has the next character's span

    def origins(self) -> Tensor:
        """int64 [n]: the first character of each text in that count."""
        import tensorflow as tf

        first = tf.concat([[0], self.limits], 0)[:-1]
        return self.spans(first, first + 1)[0]

    def owners(self) -> Tensor:
        """int64 [w]: the text of each word."""
        import tensorflow as tf

        return tf.searchsorted(self.ends, tf.range(tf.size(self.text, tf.int64)), side="right", out_type=tf.int64)


class ByteWords:
    """text: string [n] -> Words. tokens: added tokens, which become words of one letter, in `letters` with EDGE's."""

    def __init__(self, tokens: Sequence[AddedToken], *, add_prefix_space: bool) -> None:
        self._tokens = sorted(tokens, key=lambda token: token.normalized)  # found after all others have been cut out
        self._prefix = add_prefix_space
        marks = [*(token.byte for token in tokens), EDGE]
        self.letters = [chr(PRIVATE + number) for number in range(len(marks))]
        spelling = [*SPELLING]
        for byte, letter in zip(marks, self.letters, strict=True):
            spelling[byte] = letter
        self._spelling = np.array([*map(ord, spelling)], np.int32)
        self._mark = np.isin(np.arange(256), marks)
        self._quiet = self._mark | (np.arange(256) == pretokens.BLANK)
        self._widths = _by_byte(1, {token.byte: len(token.content) for token in tokens} | {EDGE: 0})

    def __call__(self, text: Tensor) -> Words:
        """text: string [n]."""
        import tensorflow as tf

        rows = self._rows(text)
        raw = tf.cast(tf.io.decode_raw(tf.strings.reduce_join(rows), tf.uint8), tf.int32)
        byte = self._spaced(raw) if self._prefix else raw
        heads = tf.where(raw & 0xC0 != 0x80)[:, 0]
        first = tf.gather(byte, heads)
        kind = self._kinds(first, heads, raw)
        cuts = tf.where(pretokens.starts(kind, first))[:, 0]
        begin = tf.concat([tf.gather(heads, cuts), tf.size(raw, tf.int64)[None]], 0)
        last = tf.concat([cuts, tf.size(kind, tf.int64)[None]], 0)[1:] - 1  # a word may begin with a space, not end so
        limits = tf.cumsum(tf.strings.length(rows))
        return Words(
            text=_encode(tf.gather(self._spelling, byte), begin),
            begin=begin,
            space=tf.gather(kind, last) == pretokens.SPACE,
            ends=tf.searchsorted(begin[:-1], tf.cast(limits, tf.int64), out_type=tf.int64),
            raw=raw,
            heads=heads,
            limits=tf.cast(limits, tf.int64),
            widths=self._widths,
        )

    def _rows(self, text: Tensor) -> Tensor:
        """Added tokens as their bytes, and an EDGE behind each text. White space that they swallow stays; where it is
        behind the token, an EDGE keeps it apart from the next word."""
        import tensorflow as tf

        edge = bytes([EDGE])

        def marked(rows: Tensor) -> Tensor:
            for token in self._tokens:
                content = replace(token, lstrip=False, rstrip=False).pattern(token.content)
                swallowed = f"({SPACE}*)" if token.rstrip else "()"
                cut = edge if self._prefix or token.rstrip else b""
                rows = tf.strings.regex_replace(rows, content + swallowed, bytes([token.byte]) + rb"\1" + cut)
            return rows

        rows = where_held(valid_utf8(text), [token.content for token in self._tokens], marked)
        return tf.strings.join([edge if self._prefix else b"", rows, edge])

    def _spaced(self, raw: Tensor) -> Tensor:
        import tensorflow as tf

        following = tf.concat([raw[1:], [EDGE]], 0)[: tf.size(raw)]
        return tf.where((raw == EDGE) & ~tf.gather(self._quiet, following), pretokens.BLANK, raw)

    def _kinds(self, first: Tensor, heads: Tensor, raw: Tensor) -> Tensor:
        """first: int32 [c], first bytes; heads: int64 [c], their places in raw. Returns int8 [c], see pretokens."""
        import tensorflow as tf

        classes = pretokens.classes()
        by_byte = np.where(self._mark, np.int8(pretokens.MARK), classes[:256])  # right where a byte is a character
        wide = tf.where((first >= 0xC2) & (first < 0xF5))  # no sentinel begins a character
        code = _code_points(raw, tf.gather_nd(heads, wide))
        kind = tf.gather(held(classes), tf.minimum(code, len(classes) - 1))
        return tf.tensor_scatter_nd_update(tf.gather(by_byte, first), wide, kind)


def _code_points(raw: Tensor, heads: Tensor) -> Tensor:
    """raw: int32 [b], bytes; heads: int64 [m], where characters of more than one begin. Returns int32 [m]."""
    import tensorflow as tf

    last = tf.size(raw, tf.int64) - 1
    lead, *rest = (tf.gather(raw, tf.minimum(heads + place, last)) for place in range(4))
    two, three, four = (rest[place] & 0x3F for place in range(3))
    of_two = (lead & 0x1F) * (1 << 6) + two
    of_three = (lead & 0x0F) * (1 << 12) + two * (1 << 6) + three
    of_four = (lead & 0x07) * (1 << 18) + two * (1 << 12) + three * (1 << 6) + four
    return tf.where(lead < 0xE0, of_two, tf.where(lead < 0xF0, of_three, of_four))


def _encode(codes: Tensor, splits: Tensor) -> Tensor:
    import tensorflow as tf

    return tf.raw_ops.UnicodeEncode(input_values=codes, input_splits=splits, output_encoding="UTF-8")


def _by_byte(default: int, values: Mapping[int, int]) -> Array:
    return np.array([values.get(byte, default) for byte in range(256)], np.int64)
