"""A tiny BERT that every engine could load, and a place for a run."""

from __future__ import annotations

import pytest

from flowformers.bench import Setup
from flowformers.bench.model import write_random

TINY = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    write_random(folder, **TINY)
    return folder


@pytest.fixture
def setup(tiny, tmp_path):
    return Setup(model=tiny, cache=tmp_path / "cache", rounds=1)
