"""Progress on a terminal, silence elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")


def steps(items: Iterable[Item], title: str) -> Iterable[Item]:
    """The items, with a bar on stderr while they pass; a pipe or a log file sees nothing."""
    if not sys.stderr.isatty():
        return items
    from rich.console import Console
    from rich.progress import track

    total = len(items) if isinstance(items, Sized) else None
    return track(items, description=title, total=total, console=Console(stderr=True), transient=True)


@contextmanager
def stage(title: str) -> Iterator[None]:
    """A spinner while the block runs, on a terminal only."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(title):
        yield
