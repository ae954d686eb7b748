"""Microseconds a sentence of the tokenizer inside the graph, one thread, beside the library called from Python."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

from flowformers.bench.measures.words import sentences, tokenizer_folder
from flowformers.bench.records import Measure
from flowformers.bench.setup import Setup

BATCH, PASSES = 32, 200
MERGES = 8000


def measure(setup: Setup) -> Iterator[Measure]:
    """WordPiece with a real vocabulary; byte-level BPE with one learnt from the sentences."""
    from flowformers import AutoTokenizer

    wordpiece = AutoTokenizer.from_pretrained(tokenizer_folder(setup))
    texts = sentences(wordpiece, 4 * BATCH)
    yield from _both("WordPiece", wordpiece, texts, at_most=40.0)
    yield from _both("byte-level BPE", _learnt(texts, setup.scratch / "bpe"), texts, at_most=100.0)


def _both(name: str, tokenizer: Any, texts: list[str], at_most: float) -> Iterator[Measure]:
    import tensorflow as tf

    from flowformers import TFTokenizer

    graph = tf.function(TFTokenizer(tokenizer), input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
    batches = [texts[start : start + BATCH] for start in range(0, len(texts), BATCH)]
    strings = [tf.constant(batch) for batch in batches]
    inside = _microseconds(lambda number: graph(strings[number % len(strings)])["input_ids"].numpy())
    library = _microseconds(
        lambda number: tokenizer(batches[number % len(batches)], padding=True, return_tensors="np")["input_ids"]
    )
    yield Measure("tokenization", f"{name} in the graph, batch {BATCH}", inside, "µs a sentence", at_most=at_most)
    yield Measure("tokenization", f"{name} by tokenizers from Python", library, "µs a sentence")


def _microseconds(action: Callable[[int], Any]) -> float:
    times = []
    for number in range(-10, PASSES):  # ten untimed
        start = time.perf_counter()
        action(number)
        if number >= 0:
            times.append(time.perf_counter() - start)
    return median(times) / BATCH * 1e6


def _learnt(texts: list[str], folder: Path) -> Any:
    """RoBERTa's tokenizer with a vocabulary of the sentences' own."""
    from tokenizers import ByteLevelBPETokenizer

    from flowformers import RobertaTokenizerFast

    learner = ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    learner.train_from_iterator(texts, vocab_size=MERGES, special_tokens=special, show_progress=False)
    folder.mkdir(parents=True, exist_ok=True)
    learner.save_model(str(folder))
    (folder / "config.json").write_text('{"model_type": "roberta"}', encoding="utf-8")
    return RobertaTokenizerFast.from_pretrained(folder)
