"""What is timed, as data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np

from flowformers.types import Array

Lengths = tuple[int, ...]
HEAVY = 4096
FP32 = ("flowformers", "google", "kerashub", "transformers4", "pytorch", "pytorch-compile",
        "onnxruntime", "onnxruntime-fused", "openvino", "ctranslate2")  # fmt: skip
BF16 = ("flowformers-bf16", "pytorch-bf16", "openvino-bf16")
INT8 = ("flowformers-int8", "onnxruntime-int8", "openvino-int8", "ctranslate2-int8")
FORMS = ("flowformers", "flowformers-eager", "flowformers-graph", "flowformers-saved-model", "flowformers-grpc",
         "flowformers-rest", "google-eager", "kerashub-eager", "transformers4-eager")  # fmt: skip


@dataclass(frozen=True)
class Case:
    """Requests that are answered one after the other; each is the real lengths of its rows, special tokens included."""

    name: str
    requests: tuple[Lengths, ...]

    @property
    def sentences(self) -> int:
        """Rows of all requests."""
        return sum(len(rows) for rows in self.requests)

    @property
    def tokens(self) -> int:
        """Real tokens of all requests."""
        return sum(sum(rows) for rows in self.requests)

    @property
    def padded(self) -> int:
        """Tokens of all requests with every row as long as its request's longest."""
        return sum(len(rows) * max(rows) for rows in self.requests)

    @property
    def largest(self) -> int:
        """Tokens of the largest request, padding included."""
        return max(len(rows) * max(rows) for rows in self.requests)

    @property
    def heavy(self) -> bool:
        """Seconds a pass: timed once a round, without an untimed pass of its own."""
        return self.padded >= HEAVY

    def arrays(self, vocabulary: int) -> list[tuple[Array, Array]]:
        """input_ids and attention_mask of every request, int32 [B, S], padded with 0; the same in every run."""
        random = np.random.default_rng(5)
        return [_request(rows, random, vocabulary) for rows in self.requests]


def _request(rows: Lengths, random: np.random.Generator, vocabulary: int) -> tuple[Array, Array]:
    mask = (np.arange(max(rows))[None, :] < np.array(rows)[:, None]).astype(np.int32)
    return random.integers(1, vocabulary, mask.shape, np.int32) * mask, mask


@dataclass(frozen=True)
class Scenario:
    """Cases that make one table, and the peers that take part where none are named."""

    name: str
    title: str
    cases: tuple[Case, ...]
    peers: tuple[str, ...]
    reference: str = "google"

    def up_to(self, tokens: int | None) -> tuple[Case, ...]:
        """The cases of at most so many tokens a request, padding included; None for all."""
        return tuple(case for case in self.cases if tokens is None or case.largest <= tokens)


@cache
def sentence_lengths() -> Lengths:
    """Word pieces, special tokens included, of 1,024 movie-review sentences in the order of the data."""
    text = (files("flowformers.bench") / "sentence_lengths.txt").read_text(encoding="utf-8")
    return tuple(int(word) for word in text.split())


def full(batch: int, length: int) -> Case:
    """One request without padding."""
    return Case(f"B{batch} S{length}", ((length,) * batch,))


def mixed(batch: int, requests: int) -> Case:
    """Real sentences, as they come."""
    lengths = sentence_lengths()
    rows = [lengths[start * batch : (start + 1) * batch] for start in range(requests)]
    return Case(f"B{batch} real", tuple(rows))


def _batches(sizes: Sequence[int]) -> tuple[Case, ...]:
    return tuple(full(size, 128) for size in sizes)


ARTICLE = _batches((1, 2, 4, 8, 16, 32, 64, 128))
SHORT = tuple(full(1, length) for length in (8, 16, 32, 64, 128, 256, 512))
MIXED = (mixed(1, 16), mixed(8, 2), mixed(32, 1), Case("B8 one long", ((512, *sentence_lengths()[:7]),)))
FORMS_CASES = (full(1, 8), full(1, 128), full(8, 128))
LIMIT, LIMIT_BF16 = ("ceiling",), ("ceiling-bf16",)

SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("article", "Length 128, batch 1 to 128, fp32", ARTICLE, FP32 + LIMIT),
        Scenario("article-bf16", "Length 128, batch 1 to 128, bf16", ARTICLE, ("google", *BF16, *LIMIT_BF16)),
        Scenario("article-int8", "Length 128, batch 1 to 128, int8", ARTICLE, ("google", *INT8)),
        Scenario("short", "One request of length 8 to 512, fp32", SHORT, FP32 + LIMIT),
        Scenario("short-reduced", "One request of length 8 to 512, bf16 and int8", SHORT, ("google", *BF16, *INT8)),
        Scenario(
            "mixed",
            "Real sentences, padded to the longest of their batch, fp32",
            MIXED,
            (*FP32, "flowformers-by-length", *LIMIT),
        ),
        Scenario("mixed-reduced", "Real sentences, bf16 and int8", MIXED, ("google", *BF16, *INT8)),
        Scenario("forms", "Eager, tf.function, SavedModel, exported, served", FORMS_CASES, FORMS, "flowformers-graph"),
    )
}
