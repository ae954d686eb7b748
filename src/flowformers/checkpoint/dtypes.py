"""Numbers as NumPy knows them."""

from __future__ import annotations

import numpy as np

from flowformers.types import Array


def widened(raw: Array, dtype: str) -> Array:
    """uint8 [bytes] -> the numbers they hold, flat; bfloat16 and float16 as float32, the rest as it is."""
    if dtype == "bfloat16":  # the upper half of a float32
        return (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
    numbers = np.frombuffer(raw, dtype)
    return numbers.astype(np.float32) if dtype == "<f2" else numbers
