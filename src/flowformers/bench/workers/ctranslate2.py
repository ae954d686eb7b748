"""CTranslate2's encoder: float32, bfloat16 or int8 by compute_type."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

PACKAGES = ("ctranslate2", "transformers")
CONVERTED = "ctranslate2"
TYPES = {"fp32": "float32", "int8": "int8", "bf16": "bfloat16"}


def prepare(folder: Path, *, variant: str, threads: int, scratch: Path) -> None:
    """Convert once; compute_type chooses the precision when the model is loaded."""
    import ctranslate2

    if not (scratch / CONVERTED).is_dir():
        ctranslate2.converters.TransformersConverter(str(folder)).convert(str(scratch / CONVERTED))


def load(folder: Path, *, variant: str, threads: int, scratch: Path) -> Any:
    """variant: fp32, bf16 or int8. See workers/__init__.py."""
    import ctranslate2

    model = ctranslate2.Encoder(
        str(scratch / CONVERTED), device="cpu", compute_type=TYPES[variant], inter_threads=1, intra_threads=threads
    )

    def call(ids: Any, mask: Any) -> Any:
        rows = [row[: int(count)].tolist() for row, count in zip(ids, mask.sum(1), strict=True)]
        return np.asarray(model.forward_batch(rows).last_hidden_state)

    return call
