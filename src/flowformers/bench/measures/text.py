"""A small classifier over REST: strings to the text signature, against `tokenizers` in a Python client and ids."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import cycle
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
            strings, rows = cycle(batches), cycle(batches)
            ways = [
                lambda strings=strings: call(_text(next(strings))),
                lambda rows=rows: call(_ids(tokenizer, next(rows))),
            ]
            text, ids = map(median, load.in_turn(ways, rounds=count, count=1))
            yield Measure("text", f"text over REST, batch {batch}, p50", text * 1000, "ms")
            yield Measure("text", f"ids over REST, batch {batch}, p50", ids * 1000, "ms")
            yield Measure("text", f"text over ids, batch {batch}", text / ids, "x", at_most=1.0)


def _text(rows: Sequence[str]) -> bytes:
    return json.dumps({"signature_name": "text", "inputs": {"text": list(rows)}}).encode()


def _ids(tokenizer: Any, rows: Sequence[str]) -> bytes:
    encoded = tokenizer(list(rows), padding=True, truncation=True)
    return json.dumps({"inputs": {name: encoded[name] for name in tokenizer.model_input_names}}).encode()
