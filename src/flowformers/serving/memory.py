"""Memory that a freed version leaves behind."""

from __future__ import annotations

import contextlib
import ctypes
import gc


def give_back() -> None:
    """Free graphs, whose objects refer to each other in circles, and return free pages to the system."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # not glibc
        ctypes.CDLL("libc.so.6").malloc_trim(0)
