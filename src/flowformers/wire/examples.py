"""Classify and regress on the wire: tf.Examples in, labels and values out (TF Serving protocol, sections 7 and 10)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flowformers.wire.json_values import bad
from flowformers.wire.tensors import FILLED_BYTES


def serialized(request_input: Any) -> list[bytes]:
    """The examples of an Input message, each with the context in front. Raises ServingError."""
    if request_input.WhichOneof("kind") == "example_list_with_context":
        found = request_input.example_list_with_context
        return with_context(found.context.SerializeToString(), [one.SerializeToString() for one in found.examples])
    return [example.SerializeToString() for example in request_input.example_list.examples]


def with_context(context: bytes, examples: Sequence[bytes]) -> list[bytes]:
    """The context in front of each example, so that its own features win.

    Raises ServingError where a few bytes would become gigabytes.
    """
    if len(context) * len(examples) > FILLED_BYTES:
        text = f"a context of {len(context)} bytes in front of {len(examples)} examples"
        raise bad(f"{text} would fill more than {FILLED_BYTES}; send fewer examples at a time")
    return [context + example for example in examples]


def fill_classifications(result: Any, labels: list[list[bytes]], scores: list[list[float]]) -> None:
    """Fill an empty ClassificationResult. Bytes of a label that are not UTF-8 are replaced: the field is text."""
    for row_labels, row_scores in zip(labels, scores, strict=True):
        classes = result.classifications.add().classes
        for label, score in zip(row_labels, row_scores, strict=True):
            classes.add(label=label.decode("utf-8", errors="replace"), score=score)


def fill_regressions(result: Any, values: list[float]) -> None:
    """Fill an empty RegressionResult."""
    for value in values:
        result.regressions.add(value=value)
