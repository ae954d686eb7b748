"""Where marks stand after canonical ordering, which sorts neighbouring combining marks by their class.

A table of characters keeps their order. That changes no id (wordpiece.py checks the vocabulary), but offsets follow
the sorted order where a mark is left after accents are stripped.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

import numpy as np

from flowformers.text.charmap import blocks
from flowformers.text.rewriting import Spans
from flowformers.text.specials import SENTINELS
from flowformers.types import Array, Tensor

MARKED = range(0x300, 0x1F000)  # where combining marks are
RANKS = 256  # more than there are classes


class Reordering:
    """A step that leaves the text as it is and moves the spans of the marks that stay.

    normalizer: the BertNormalizer of the tokenizer, which strips accents.
    """

    def __init__(self, normalizer: Any) -> None:
        self._normalizer = normalizer

    @cached_property
    def _tables(self) -> tuple[Array, Array, Array, Array]:
        """Marks, their ranks, whether they stay; where characters that go before marks are sorted begin and end."""
        ranks = mark_ranks()
        stays = [bool(self._normalizer.normalize_str(chr(code))) for code in ranks]
        return np.array([*ranks], np.int32), np.array([*ranks.values()], np.int32), np.array(stays), _borders(_gone())

    def __call__(self, text: Tensor) -> Tensor:
        """text: string [n]."""
        return text

    def follow(self, text: Tensor, spans: Spans) -> tuple[Tensor, Spans]:
        """The text, and its spans with those of marks exchanged."""
        import tensorflow as tf

        marks, ranks, staying, borders = self._tables
        code = tf.strings.unicode_decode(tf.strings.join([text, " "]), "UTF-8").values  # END would be gone
        place = tf.minimum(tf.searchsorted(marks, code), len(marks) - 1)
        is_mark = tf.gather(marks, place) == code
        stays = is_mark & tf.gather(staying, place)

        def sort() -> tuple[Tensor, Tensor]:
            gone = tf.searchsorted(borders, code, side="right") % 2 == 1
            special = tf.reduce_any(spans.characters.first_bytes()[:, None] == tf.constant(SENTINELS)[None, :], axis=1)
            present = tf.where(~gone | special)[:, 0]
            rank = tf.gather(tf.where(is_mark, tf.gather(ranks, place), 0), present)
            run = tf.cumsum(tf.cast(rank == 0, tf.int32))
            left = tf.gather(stays, present)
            order = tf.argsort(run * RANKS + rank, stable=True)
            source = tf.gather(present, tf.where(tf.gather(left, order))[:, 0])
            target = tf.boolean_mask(present, left)[:, None]
            start, end = (
                tf.tensor_scatter_nd_update(x, target, tf.gather(x, source)) for x in (spans.start, spans.end)
            )
            return start, end

        start, end = tf.cond(tf.reduce_any(stays), sort, lambda: (spans.start, spans.end))
        return text, Spans(spans.characters, start, end)


def mark_ranks() -> dict[int, int]:
    """Combining marks in order, each with its class's rank from 1, as the library's own NFD sorts them."""
    decompose = _nfd()
    candidates = [code for code in MARKED if unicodedata.combining(_first(code))]
    by_class = {unicodedata.combining(chr(code)): chr(code) for code in reversed(candidates) if code < 0x2000}
    samples = [by_class[one] for one in sorted(by_class) if one]
    pairs = [(chr(code), sample) for code in candidates for sample in samples]
    after = decompose(f"a{x}{y}" for x, y in pairs)
    before = decompose(f"a{y}{x}" for x, y in pairs)
    own = dict(zip(map(chr, candidates), decompose(map(chr, candidates)), strict=True))
    higher, lower = (np.zeros(len(candidates), np.int64) for _ in range(2))
    for number, ((x, y), xy, yx) in enumerate(zip(pairs, after, before, strict=True)):
        higher[number // len(samples)] += xy != f"a{own[x]}{own[y]}"
        lower[number // len(samples)] += yx != f"a{own[y]}{own[x]}"
    known = (higher > 0) | (lower > 0)
    return {code: 1 + int(rank) for code, rank, is_mark in zip(candidates, higher, known, strict=True) if is_mark}


def _first(code: int) -> str:
    return unicodedata.normalize("NFD", chr(code))[:1]


def _nfd() -> Any:
    """Decomposes many texts in one call."""
    from tokenizers import normalizers

    return lambda texts: normalizers.NFD().normalize_str("|".join(texts)).split("|")


def _gone() -> Array:
    """The characters that clean_text drops."""
    from tokenizers import normalizers

    cleaner = normalizers.BertNormalizer(handle_chinese_chars=False, strip_accents=False, lowercase=False)
    return np.array([code for code, text in changed_characters(cleaner).items() if not text])


def changed_characters(normalizer: Any) -> dict[int, str]:
    """What every character that changes is normalised to. It must leave "|" alone and not join neighbours."""
    changed: dict[int, str] = {}
    for codes in blocks():
        together = "".join(map(chr, codes))
        if normalizer.normalize_str(together) == together:  # most blocks are not assigned, and stay as they are
            continue
        parts = normalizer.normalize_str("|".join(together)).split("|")
        if ord("|") in codes:  # the separator itself made two empty parts
            parts[ord("|") : ord("|") + 2] = ["|"]
        changed |= {code: part for code, part in zip(codes, parts, strict=True) if part != chr(code)}
    return changed


def _borders(codes: Array) -> Array:
    """Sorted numbers -> where runs of them begin and end: begin, end, begin, end, ..."""
    apart = np.flatnonzero(np.diff(codes) != 1)
    return np.stack([codes[[0, *(apart + 1)]], codes[[*apart, -1]] + 1], axis=1).reshape(-1).astype(np.int32)


def is_reordered(settings: Mapping[str, Any]) -> bool:
    """Whether a BertNormalizer strips accents, and so sorts marks first."""
    strip = settings.get("strip_accents")
    return bool(settings.get("lowercase", True) if strip is None else strip)


def moved_marks(normalised: Mapping[int, str]) -> Iterable[str]:
    """Marks that are left after normalisation and may have moved. normalised: what each character that changes is."""
    kept = (code for code in MARKED if unicodedata.combining(normalised.get(code, chr(code))[:1] or "a"))
    return map(chr, kept)
