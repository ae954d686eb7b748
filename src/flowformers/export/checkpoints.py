"""A checkpoint folder or Hub id -> a folder that TensorFlow Serving takes."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from flowformers.errors import ExportError, FlowformersError, InvalidInput, NotFound
from flowformers.export.compatibility import parse_release
from flowformers.export.graph import DEFAULT, Graph
from flowformers.export.precision import measure, write_report
from flowformers.export.text import check_text_form
from flowformers.export.verify import has_nan
from flowformers.models import class_of
from flowformers.models.auto import class_of_task
from flowformers.models.loading import folder_of
from flowformers.text import AutoTokenizer, TFTokenizer

log = logging.getLogger("flowformers")


def export_checkpoint(
    source: str,
    out: Path,
    *,
    version: int = 1,
    task: str | None = None,
    text: bool | None = None,
    default_signature: str = "ids",
    min_serving: str | None = None,
    precision: str = "fp32",
    calibrate: Path | None = None,
    graph: Graph = DEFAULT,
    text_options: Mapping[str, Any] | None = None,
    strict: bool = False,
    **options: Any,
) -> Path:
    """Load a checkpoint with the class its folder names and save it, SavedModel included, to `out`.

    task: an Auto class' task ("sequence-classification") instead of config.architectures. text: add signatures that
    take text; None adds them where tokenizer and head have an exact text form and logs why not where they have none.
    text_options: the head's, as aggregation_strategy or top_k (docs/text.md).
    precision: fp32, bf16, fp16 or int8; what it changes is measured on the texts of `calibrate` (lines of text, a tab
    and a label that may be missing) or a few of ours, printed, and written to assets.extra/precision.json. graph: how
    weights are stored and the model is run. min_serving: a TensorFlow Serving release that must be able to load it.
    strict: raise WeightsMismatch for weights that the checkpoint has not, and ExportError where answers are NaN, where
    there is a warning otherwise.
    options: those of from_pretrained (revision, subfolder, token, ...). Returns out/saved_model, the base folder of
    the versions.
    """
    if min_serving is not None:
        parse_release(min_serving)  # a slip here or in the task should not cost the time to load a model
    if task is not None:
        class_of_task(task)
    if calibrate is not None and precision == "fp32":
        raise InvalidInput(
            f"{calibrate} is to measure what a precision changes, and fp32 changes nothing: choose bf16, fp16 or int8 "
            "(--precision), or leave the texts out"
        )
    folder = folder_of(source, options)  # once: model and tokenizer are of one commit, though a branch may move
    model = class_of(folder, task).from_pretrained(folder, precision=precision, strict=strict, **options)
    if strict:
        _refuse_nan(model, source)
    tokenizer = (
        None if text is False else _tokenizer(model, folder, options, text_options, required=bool(text or text_options))
    )
    report = None if precision == "fp32" else _measured(model, folder, calibrate, options)
    model.save_pretrained(
        out,
        saved_model=True,
        version=version,
        tokenizer=tokenizer,
        default_signature=default_signature,
        examples=True,
        min_serving=min_serving,
        graph=graph,
        text_options=text_options,
    )
    if report is not None:
        write_report(out / "saved_model" / str(version), report)
    return out / "saved_model"


def _refuse_nan(model: Any, source: str) -> None:
    ones = {
        name: tf.ones([size or 1 for size in spec.shape], spec.dtype) for name, spec in model.input_signature.items()
    }
    for name, value in model.serving(ones).items():
        if has_nan(value):
            raise ExportError(
                f"expected numbers from {source}; its {name} is NaN in {model.precision} already for one token. Look "
                "for NaN in its weights, or choose another precision"
            )


def _measured(model: Any, folder: Path, calibrate: Path | None, options: dict[str, Any]) -> dict[str, Any] | None:
    """What the precision changes; None where there is no tokenizer for a text and none was asked for."""
    try:
        return measure(model, folder, calibrate, options)
    except NotFound as error:
        if calibrate is not None:
            raise
        log.warning("what %s changes was not measured: %s", model.precision, error)
        return None


def _tokenizer(
    model: Any, folder: Path, options: dict[str, Any], text_options: Mapping[str, Any] | None, *, required: bool
) -> Any:
    """The checkpoint's tokenizer, if a text signature can be made with it."""
    try:
        graph = TFTokenizer(AutoTokenizer.from_pretrained(folder, **options))
        check_text_form(model, graph, text_options)
        return graph
    except FlowformersError as error:
        if required:
            raise
        log.warning("no text signature: %s", error)
        return None
