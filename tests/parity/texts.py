"""Checkpoints and texts for the text signatures, the same on both sides: everything follows from seeds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import flowformers
from tests.text.hostile import strings

LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC", "MISC", "E-ORG")
WORDS = (
    "the", "film", "was", "not", "what", "anyone", "expected", "of", "a", "great", "director", "and", "cast", "in",
    "Paris", "London", "Dr.", "O'Neil,", "don't", "won't", "we've", "it's", 'said "no"!', "Antananarivo's",
    "unbelievable", "naïve", "café", "Москва", "東京", "floccinaucinihilipilification", "I do not", "e\u0301tude",
)  # fmt: skip
CLASSES = {
    "text-classification": "TFBertForSequenceClassification",
    "token-classification": "TFBertForTokenClassification",
    "question-answering": "TFBertForQuestionAnswering",
    "fill-mask": "TFBertForMaskedLM",
}
LIMIT = 48  # tokens of the tiny model


def make_folder(task: str, folder: Path, minilm: Path, *, real: bool = False, **fields: Any) -> Path:
    """A checkpoint with the words of MiniLM: tiny and random, or (real) MiniLM itself under a random head."""
    cls = getattr(flowformers, CLASSES[task])
    if task == "token-classification":
        fields["id2label"] = dict(enumerate(LABELS))
    if real:
        model = cls.from_pretrained(minilm, from_pt=True, **fields)
        fresh = [slot for slot in model.slots() if not slot.parameter.file_name.startswith("bert.")]
    else:
        sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
        config = flowformers.BertConfig(vocab_size=30522, max_position_embeddings=LIMIT, **sizes, **fields)
        model = cls(config)
        fresh = model.slots()
    random = np.random.default_rng(0)
    for slot in fresh:
        centre = 1.0 if "LayerNorm.weight" in slot.parameter.file_name else 0.0
        slot.variable.assign(centre + random.normal(scale=0.3, size=slot.variable.shape))
    model.save_pretrained(folder, safe_serialization=True)
    limit = {} if real else {"model_max_length": LIMIT}
    flowformers.AutoTokenizer.from_pretrained(minilm, **limit).save_pretrained(folder)
    return folder


def sentences(count: int, *, longest: int = 40, seed: int = 0) -> list[str]:
    """Words of many kinds."""
    random = np.random.default_rng(seed)
    return [" ".join(random.choice(WORDS, int(random.integers(1, longest)))) for _ in range(count)]


def corpus(count: int, **options: Any) -> list[str]:
    """Sentences, then hostile strings."""
    return [*sentences(count - count // 4, **options), *strings(count // 4, seed=3)]


Inputs = list[tuple[str, ...]]


def single(count: int) -> Inputs:
    """Rows of one text."""
    return [(text,) for text in corpus(count)]


def masked(count: int) -> Inputs:
    """Short texts with a mask, every fifth with two."""
    random, found = np.random.default_rng(1), []
    for number, text in enumerate(corpus(count, longest=12)):
        words = text[:60].split(" ")
        for _ in range(1 + (number % 5 == 0)):
            words.insert(int(random.integers(0, len(words) + 1)), "[MASK]")
        found.append((" ".join(words),))
    return found


def questions(count: int) -> Inputs:
    """(question, context), the contexts up to several windows long."""
    random = np.random.default_rng(5)
    asked = [" ".join(random.choice(WORDS[:13], int(random.integers(1, 9)))) for _ in range(count)]
    return list(zip(asked, corpus(count, longest=90, seed=6), strict=True))


@dataclass(frozen=True)
class Case:
    """A task as it is asked. fields: of the config; options: of the signature and the pipeline."""

    name: str
    task: str
    inputs: Callable[[int], Inputs] = single
    arguments: tuple[str, ...] = ("text",)
    fields: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)

    def folder(self, folder: Path, minilm: Path, *, real: bool = False) -> Path:
        """Its checkpoint, see make_folder."""
        return make_folder(self.task, folder, minilm, real=real, **self.fields)


def _cases(task: str, which: str, choices: dict[str, dict[str, Any]], **same: Any) -> list[Case]:
    return [Case(f"{task}, {name}", task, **{which: given}, **same) for name, given in choices.items()]


FROZEN = 40  # how many inputs of each the goldens hold
CASES = [
    *_cases(
        "text-classification",
        "fields",
        {
            "three labels": {"num_labels": 3},
            "one label": {"num_labels": 1},
            "regression": {"num_labels": 1, "problem_type": "regression"},
            "several at once": {"num_labels": 4, "problem_type": "multi_label_classification"},
        },
    ),
    *_cases(
        "token-classification",
        "options",
        {one: {"aggregation_strategy": one} for one in ("none", "simple", "first", "average", "max")}
        | {f"{one} in windows": {"aggregation_strategy": one, "stride": 8} for one in ("simple", "average")},
    ),
    Case("fill-mask", "fill-mask", masked),
    *_cases(
        "question-answering",
        "options",
        {
            "plain": {},
            "maybe impossible": {"handle_impossible_answer": True},
            "in windows": {"max_seq_len": 40, "doc_stride": 7, "max_answer_len": 4},
        },
        inputs=questions,
        arguments=("question", "context"),
    ),
]


def signatures(folder: Path, options: dict[str, Any] | None = None) -> dict[str, Any]:
    """The text signatures of a checkpoint folder."""
    from flowformers.export.text import checked, text_signatures
    from flowformers.models import class_of

    model = class_of(str(folder), None).from_pretrained(folder)
    content = b"".join((folder / name).read_bytes() for name in ("tokenizer.json", "tokenizer_config.json"))
    return text_signatures(model, checked(model, _tokenizer(content, folder)), options)


_made: dict[bytes, flowformers.TFTokenizer] = {}


def _tokenizer(content: bytes, folder: Path) -> flowformers.TFTokenizer:
    """One for all folders with the same files: its tables take seconds to build."""
    if content not in _made:
        _made[content] = flowformers.TFTokenizer.from_pretrained(folder)
    return _made[content]
