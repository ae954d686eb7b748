"""A checkpoint folder or Hub id -> a folder that TensorFlow Serving takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flowformers.models import class_of


def export_checkpoint(source: str, out: Path, *, version: int = 1, task: str | None = None, **options: Any) -> Path:
    """Load a checkpoint with the class its config names and save it, SavedModel included, to `out`.

    task: an Auto class' task ("sequence-classification") instead of config.architectures. options: those of
    from_pretrained (revision, subfolder, token, ...). Returns out/saved_model, the base folder of the versions.
    """
    model = class_of(source, task, **options).from_pretrained(source, **options)
    model.save_pretrained(out, saved_model=True, version=version)
    return out / "saved_model"
