"""What a real BERT is asked: words of many kinds, lengths from none to the limit."""

from __future__ import annotations

from typing import Any

import numpy as np

SENTENCES = (
    "I love the new TensorFlow update in transformers.",
    "",
    "The film, which I had wanted to see for years, turned out to be a long, pale copy of a good book.",
    "Crème brûlée für 3,50 € — 東京, 서울 and Москва 🙂",
    "antidisestablishmentarianism floccinaucinihilipilification",
    "no " * 100,
)


def real_request(tokenizer: Any) -> dict[str, np.ndarray]:
    """The batch that a tokenizer of Hugging Face's interface makes of SENTENCES, padded, at most 64 tokens."""
    encoded = tokenizer(list(SENTENCES), padding=True, truncation=True, max_length=64, return_tensors="np")
    return {
        name: np.asarray(encoded[name], dtype=np.int64) for name in ("input_ids", "attention_mask", "token_type_ids")
    }
