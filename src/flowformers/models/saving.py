"""save_pretrained: config.json, weights, and a SavedModel."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypedDict, Unpack

import numpy as np

from flowformers import checkpoint
from flowformers.checkpoint import Parameter
from flowformers.errors import ExportError, InvalidInput
from flowformers.types import Array

log = logging.getLogger("flowformers")


class SavedModelOptions(TypedDict, total=False):
    """What is decided about a SavedModel; see export.write_saved_model, which says what each is and its default."""

    signatures: Any
    tokenizer: Any
    default_signature: str
    examples: bool | None
    min_serving: str | None
    graph: Any
    text_options: Mapping[str, Any] | None


def save_pretrained(
    model: Any,
    folder: Path,
    *,
    saved_model: bool = False,
    version: int = 1,
    safe_serialization: bool = False,
    **options: Unpack[SavedModelOptions],
) -> None:
    """Write folder/config.json and folder/tf_model.h5 (model.safetensors with safe_serialization).

    With saved_model=True also folder/saved_model/<version>, with `signatures` if given, else the model's own. A
    tokenizer adds its own files and signatures that take text (docs/text.md); default_signature "text" makes one of
    them serving_default. examples adds the signature that takes tf.Examples (docs/export.md). min_serving names a
    TensorFlow Serving release that must be able to load the SavedModel. graph: an export.Graph, how the SavedModel is
    stored and run; with variables unless given. Raises ExportError when the disk is full, the written SavedModel
    answers differently, or it holds an op that TensorFlow Serving has not; what stood there before stays.
    text_options are the head's (aggregation_strategy, top_k, ...).
    """
    check_options(options)
    if folder.is_file():
        raise InvalidInput(f"expected a folder to save to; {folder} is a file")
    _make(folder)
    _write_weights(model, folder, safe_serialization=safe_serialization)
    settings = model.config.copy(architectures=[library_class(model).removeprefix("TF")])
    settings.save_pretrained(folder)
    tokenizer = options.get("tokenizer")
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
    if saved_model:
        # The one arrow against the line of data: the article's API has the export on the model.
        from flowformers.export import write_saved_model

        write_saved_model(model, folder / "saved_model", version=version, **options)


def _write_weights(model: Any, folder: Path, *, safe_serialization: bool) -> None:
    written = folder / ("model.safetensors" if safe_serialization else "tf_model.h5")
    if safe_serialization:
        checkpoint.write_safetensors(written, tensors(model))
    else:
        checkpoint.write_h5(written, tensors(model), model_name=checkpoint.h5_model_name(library_class(model)))
    first = checkpoint.read_first(folder)
    if first != written:
        log.warning(
            "%s is written, but from_pretrained reads %s beside it first: remove that, or save with "
            "safe_serialization=True", written, first,
        )  # fmt: skip


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise ExportError(f"can't make the folder {folder} to save to: {reason}. Choose another place") from error


def check_options(options: Mapping[str, Any]) -> None:
    """Raises TypeError for one that nothing reads, as it might be a slip that changes what is served."""
    unknown = [name for name in options if name not in SavedModelOptions.__annotations__]
    if unknown:
        raise TypeError(
            f"save_pretrained() got an unexpected keyword argument {unknown[0]!r}; expected saved_model, version, "
            f"safe_serialization, {', '.join(SavedModelOptions.__annotations__)}"
        )


def library_class(model: Any) -> str:
    """The nearest public class: a user's subclass is recorded as what it extends."""
    return next(cls.__name__ for cls in type(model).__mro__ if "head_spec" in vars(cls))


def tensors(model: Any) -> Iterator[tuple[Parameter, Array]]:
    """Every weight as float32, one at a time."""
    for slot in model.slots():
        yield slot.parameter, np.asarray(slot.variable.numpy(), dtype=np.float32)
