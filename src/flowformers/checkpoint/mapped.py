"""A file mapped into memory, of which little is resident at a time."""

from __future__ import annotations

import mmap
from pathlib import Path

import numpy as np

from flowformers.types import Array


class Mapped:
    """The bytes of a file that is not empty. Views of them stay valid for as long as they are held."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.bytes: Array = np.frombuffer(self._mapping, np.uint8)

    def forget(self) -> None:
        """Give pages that were read back to the system: weights are read once, one after the other. They come back
        when a view touches them."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self._mapping.madvise(mmap.MADV_DONTNEED)
