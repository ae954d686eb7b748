"""Microseconds a sentence of the tokenizer inside the graph, one thread, beside the library called from Python."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

from flowformers.bench.measures import load
from flowformers.bench.measures.words import sentences, tokenizer_folder
from flowformers.bench.records import Measure
from flowformers.bench.setup import Setup

BATCH, RUNS, CALLS = 32, 12, 32
LEARNT_FROM, VOCABULARY = 1500, 1700  # sentences, tokens: 57 for a sentence, as RoBERTa's own has for such text


def measure(setup: Setup) -> Iterator[Measure]:
    """WordPiece with a real vocabulary; byte-level BPE with one learnt from sentences like those."""
    from flowformers import AutoTokenizer

    wordpiece = AutoTokenizer.from_pretrained(tokenizer_folder(setup))
    texts = sentences(8 * BATCH)
    yield from _both("WordPiece", wordpiece, texts, at_most=40.0)
    yield from _both(
        "byte-level BPE", _learnt(sentences(LEARNT_FROM, first=8 * BATCH), setup.scratch / "bpe"), texts, at_most=100.0
    )


def _both(name: str, tokenizer: Any, texts: list[str], at_most: float) -> Iterator[Measure]:
    batches = [texts[start : start + BATCH] for start in range(0, len(texts), BATCH)]
    run = _graph(tokenizer, batches)

    def library() -> None:
        for number in range(CALLS):
            tokenizer(batches[number % len(batches)], padding=True, return_tensors="np")

    times = load.in_turn([run, library], rounds=RUNS, count=1)
    inside, beside = (median(one) / (CALLS * BATCH) * 1e6 for one in times)
    yield Measure("tokenization", f"{name} in the graph, batch {BATCH}", inside, "µs a sentence", at_most=at_most)
    yield Measure("tokenization", f"{name} by tokenizers from Python", beside, "µs a sentence")


def _graph(tokenizer: Any, batches: list[list[str]]) -> Callable[[], Any]:
    """Tokenises CALLS batches in one run of a graph: what it adds to a graph, without a call from Python for each."""
    import tensorflow as tf

    from flowformers import TFTokenizer

    graph, rows = TFTokenizer(tokenizer), tf.constant(batches)

    def step(number: Any, tokens: Any) -> tuple[Any, Any]:
        batch = graph(rows[number % len(batches)])
        return number + 1, tokens + tf.add_n([tf.size(value) for value in batch.values()])

    def run() -> Any:
        return tf.while_loop(lambda number, _: number < CALLS, step, (0, 0), parallel_iterations=1)[1]

    function = tf.function(run, autograph=False)
    return lambda: function().numpy()


def _learnt(texts: list[str], folder: Path) -> Any:
    """RoBERTa's tokenizer with a vocabulary learnt from the texts."""
    from tokenizers import ByteLevelBPETokenizer

    from flowformers import RobertaTokenizerFast

    learner = ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    learner.train_from_iterator(texts, vocab_size=VOCABULARY, special_tokens=special, show_progress=False)
    folder.mkdir(parents=True, exist_ok=True)
    learner.save_model(str(folder))
    (folder / "config.json").write_text('{"model_type": "roberta"}', encoding="utf-8")
    return RobertaTokenizerFast.from_pretrained(folder)
