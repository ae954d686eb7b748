"""Strings that break tokenizers, the same on every run."""

from __future__ import annotations

import random
from collections.abc import Iterator

PIECES = (
    "[SEP]", "[MASK]", "[CLS]", "[UNK]", "[PAD]", "<s>", "</s>",
    "<mask>", "<unk>", " <mask> ", "hello", "naïve", "…", "ß",
    "İ", "ı", "don't", "''s", "a" * 99, "a" * 100, "a" * 101,
    "é" * 101, "b" * 201, "東京", "\u200b", "x\u00ady", "한국어", "\u1112\u1161\u11ab",
    "ﬁ", "１２", "e\u0301\u0327", "\u0345", "😀", "👩\u200d👩\u200d👧", "🇩🇪",
    "שלום", "مرحبا", "\u202e", "\ufeff", "\0", "\x07", "\x85",
    "\u2028", "\u3000", "\ue000", "\uf8ff", "\ufffd", "\U000f0000", "\u2e4f",
    "\u061d", "²", "ª", "Ω", "ς", "ไทยไทย", "नमस्ते",
    "\n", "\t ", "  ", "-", "...", "$1,000.00", "http://x.y/z?a=b",
    "\U0002b820", "\u0e33",
)  # fmt: skip
RANGES = (
    (0x20, 0x7F),
    (0x80, 0x250),
    (0x300, 0x370),
    (0x370, 0x600),
    (0x2000, 0x2C00),
    (0x3000, 0xA000),
    (0xE000, 0x110000),
)


def strings(count: int, seed: int = 0) -> Iterator[str]:
    """Mixtures of PIECES, of characters from RANGES, of any characters, and of decoded random bytes."""
    chooser = random.Random(seed)
    for _ in range(count):
        yield (_pieces, _ranges, _anything, _bytes)[chooser.randrange(4)](chooser)


def uniform_batches(count: int, seed: int = 4) -> Iterator[list[str]]:
    """Batches that shortcuts may be taken for: only ASCII, only ASCII without what begins an added token, one text."""
    plain = [text for text in strings(count, seed) if text.isascii()]
    yield plain
    yield [text for text in plain if not set(text) & set("[<h-")]
    yield from ([text] for text in strings(12, seed + 1) if text)


def _pieces(chooser: random.Random) -> str:
    return chooser.choice(("", " ")).join(chooser.choice(PIECES) for _ in range(chooser.randrange(10)))


def _ranges(chooser: random.Random) -> str:
    picked = [chooser.choice(RANGES) for _ in range(2)]
    return "".join(chr(chooser.randrange(*chooser.choice(picked))) for _ in range(chooser.randrange(25)))


def _anything(chooser: random.Random) -> str:
    codes = (chooser.randrange(0x110000) for _ in range(chooser.randrange(20)))
    return "".join(chr(code) for code in codes if not 0xD800 <= code < 0xE000)


def _bytes(chooser: random.Random) -> str:
    return chooser.randbytes(chooser.randrange(25)).decode("utf-8", "replace")
