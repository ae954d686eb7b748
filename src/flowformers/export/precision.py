"""What a precision changes in a model's answers, measured and written beside the SavedModel."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from flowformers.errors import InvalidInput
from flowformers.progress import steps
from flowformers.text import AutoTokenizer
from flowformers.types import Array, Tensor

log = logging.getLogger("flowformers")

REPORT = Path("assets.extra/precision.json")
BATCH = 16
TEXTS = (
    "I love it.",
    "Not one of them had a good word to say about it, and neither have I.",
    "The committee will meet again in Geneva next week to discuss trade, fishing rights and the price of grain.",
    "2 + 2 = 4, e.g. (see p. 17).",
    "Who wrote the first symphony that is still played today?",
    "A film that is neither funny nor sad, but somehow both.",
    "Prices rose by 3.5% in the second quarter, the ministry said on Tuesday.",
    "She said that nothing of the kind had ever happened before.",
)


def measure(model: Any, folder: Path, calibrate: Path | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """The differences between the model's answers and those of the same weights in fp32, output by output.

    Texts and labels are those of `calibrate`, or a few of ours without labels. Accuracy is given where there are labels
    and the model is a classifier. Raises InvalidInput for a file without texts or with labels that config.json has not.
    """
    texts, labels = read_texts(calibrate) if calibrate else (list(TEXTS), [])
    tokenizer = AutoTokenizer.from_pretrained(folder, **options)
    lowered = _answers(model, tokenizer, texts)
    with as_fp32(model):
        exact = _answers(model, tokenizer, texts)
    report: dict[str, Any] = {
        "precision": model.precision,
        "texts": len(texts),
        "outputs": _differences(exact, lowered),
    }
    if labels:
        expected = _numbers(model, labels)
        both = {"fp32": exact, model.precision: lowered}
        report["accuracy"] = {name: _accuracy(found, expected, model.config) for name, found in both.items()}
    return report


@contextmanager
def as_fp32(model: Any) -> Iterator[None]:
    """The model's blocks in fp32 for a while."""
    precision = model.precision
    model.precision = "fp32"
    try:
        yield
    finally:
        model.precision = precision


def read_texts(path: Path) -> tuple[list[str], list[str]]:
    """Texts and labels of a file with lines of text, a tab and a label. Labels: one for every text, or none at all."""
    try:
        rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"can't read texts from {path}: {error}") from error
    widths = {len(row) for row in rows}
    if widths not in ({1}, {2}):
        raise InvalidInput(f"expected one text a line in {path}, each with a tab and a label or none with it")
    return [row[0] for row in rows], [row[1].strip() for row in rows if len(row) == 2]


def write_report(folder: Path, report: Mapping[str, Any]) -> None:
    """folder/assets.extra/precision.json, and the same in the log."""
    (folder / REPORT).parent.mkdir(exist_ok=True)
    (folder / REPORT).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    for name, found in report["outputs"].items():
        log.warning(
            "%s against fp32 on %d texts: %s differs by at most %.2g, %.2g on average; its largest number is %.3g",
            report["precision"], report["texts"], name, found["max_difference"], found["mean_difference"],
            found["largest"],
        )  # fmt: skip
    for precision, share in report.get("accuracy", {}).items():
        log.warning("accuracy in %s: %.4f", precision, share)


def _answers(model: Any, tokenizer: Any, texts: Sequence[str]) -> dict[str, list[Array]]:
    """Every output's answer to every text, padding left out."""
    limit, axes = model.base_model.spec.max_length, _axes(model)
    found: dict[str, list[Array]] = {}
    for start in steps(range(0, len(texts), BATCH), f"Measuring {model.precision}"):
        batch = tokenizer(
            list(texts[start : start + BATCH]), padding=True, truncation=True, max_length=limit, return_tensors="np"
        )
        for name, value in model.serving(_inputs(model, batch)).items():
            rows = np.moveaxis(np.asarray(value, np.float32), axes[name].rows, 0)
            pairs = zip(rows, batch["attention_mask"], strict=True)
            found.setdefault(name, []).extend(_real(row, mask, axes[name].tokens) for row, mask in pairs)
    return found


def _inputs(model: Any, batch: Mapping[str, Array]) -> dict[str, Tensor]:
    """What the model takes of a batch [B, S], int32; where it chooses, each text is the one choice of its row."""
    specs = {name: spec for name, spec in model.input_signature.items() if name in batch}
    given = {name: tf.constant(batch[name], spec.dtype) for name, spec in specs.items()}
    return {name: x if specs[name].shape.rank == 2 else x[:, None] for name, x in given.items()}


@dataclass(frozen=True)
class Axes:
    """Of one output: the axis of the texts, and those of their tokens in one text's part of it."""

    rows: int
    tokens: tuple[int, ...]


def _axes(model: Any) -> dict[str, Axes]:
    """By output, what grows with the request: sizes alone can't tell, as there may be as many labels as tokens."""

    def shapes(rows: int, length: int) -> dict[str, Sequence[int]]:
        # Zeros: there may be one type of tokens only.
        batch = {name: np.full([rows, length], int(name == "attention_mask")) for name in model.serving_inputs}
        return {name: value.shape for name, value in model.serving(_inputs(model, batch)).items()}

    small, large = shapes(1, 2), shapes(2, 4)
    found = {}
    for name in small:
        grown = [axis for axis, sizes in enumerate(zip(small[name], large[name], strict=True)) if sizes[0] < sizes[1]]
        rows = next(axis for axis in grown if (small[name][axis], large[name][axis]) == (1, 2))
        found[name] = Axes(rows, tuple(axis - (axis > rows) for axis in grown if axis != rows))
    return found


def _real(row: Array, mask: Array, tokens: Sequence[int]) -> Array:
    for axis in tokens:
        row = np.compress(mask == 1, row, axis)
    return row


def _differences(exact: Mapping[str, list[Array]], lowered: Mapping[str, list[Array]]) -> dict[str, dict[str, float]]:
    differences = {}
    for name, rows in exact.items():
        apart = np.concatenate([np.abs(a - b).ravel() for a, b in zip(rows, lowered[name], strict=True)])
        differences[name] = {
            "max_difference": float(apart.max()),
            "mean_difference": float(apart.mean()),
            "largest": float(max(np.abs(row).max() for row in rows)),
        }
    return differences


def _numbers(model: Any, labels: Sequence[str]) -> Array:
    known = {str(name): index for name, index in model.config.label2id.items()}
    known |= {str(index): index for index in range(model.config.num_labels)}
    unknown = sorted(set(labels) - set(known))
    if unknown:
        raise InvalidInput(f"expected labels of {', '.join(known)}; got {', '.join(unknown)}")
    return np.array([known[label] for label in labels])


def _accuracy(answers: Mapping[str, list[Array]], expected: Array, config: Any) -> float:
    logits = answers.get("logits")
    if logits is None or logits[0].shape != (config.num_labels,):
        raise InvalidInput("labels are for sequence classification: give texts without labels")
    return float(np.mean(np.argmax(np.stack(logits), axis=-1) == expected))
