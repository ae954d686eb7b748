"""A small classifier over REST: strings to the text signature, against `tokenizers` in a Python client and ids."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from flowformers.bench.measures import exports, load
from flowformers.bench.measures.words import sentences, tokenizer_folder
from flowformers.bench.records import Measure
from flowformers.bench.setup import Setup

CALLS = {1: 200, 32: 40}


def measure(setup: Setup) -> Iterator[Measure]:
    """MiniLM's size, sentences of 30 words; the two ways take turns, call by call."""
    from flowformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder(setup))
    setup.scratch.mkdir(parents=True, exist_ok=True)
    base = exports.classifier(setup.scratch / "small", exports.SMALL, tokenizer=tokenizer)
    texts = sentences(64)
    with load.serving(base, setup.scratch / "server.log") as ports:
        call = load.rest_call(ports.rest)
        for batch, count in CALLS.items():
            batches = [texts[start : start + batch] for start in range(0, len(texts), batch)]
            ways = {"text": lambda rows: call(_text(rows)), "ids": lambda rows: call(_ids(tokenizer, rows))}
            times = _in_turn(ways, batches, count)
            for way, value in times.items():
                yield Measure("text", f"{way} over REST, batch {batch}, p50", value * 1000, "ms")
            ratio = times["text"] / times["ids"]
            yield Measure("text", f"text over ids, batch {batch}", ratio, "x", at_most=1.0)


def _text(rows: Sequence[str]) -> bytes:
    return json.dumps({"signature_name": "text", "inputs": {"text": list(rows)}}).encode()


def _ids(tokenizer: Any, rows: Sequence[str]) -> bytes:
    encoded = tokenizer(list(rows), padding=True, truncation=True)
    return json.dumps({"inputs": {name: encoded[name] for name in tokenizer.model_input_names}}).encode()


def _in_turn(
    ways: Mapping[str, Callable[[Sequence[str]], object]], batches: Sequence[Sequence[str]], count: int
) -> dict[str, float]:
    times: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(-count // 10, count):
        for way, action in ways.items():
            start = time.perf_counter()
            action(batches[number % len(batches)])
            if number >= 0:
                times[way].append(time.perf_counter() - start)
    return {way: median(values) for way, values in times.items()}
