"""What is on disk: numbered folders below a base path (TF Serving protocol, section 14)."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

from flowformers.errors import NotFound
from flowformers.serving.settings import Settings

VERSION = re.compile(r"[0-9]+", re.ASCII)


def versions_in(base: Path) -> dict[int, Path] | None:
    """Numbered folders directly below the base path; None where it is not there."""
    try:
        names = sorted(entry.name for entry in os.scandir(base) if VERSION.fullmatch(entry.name) and entry.is_dir())
    except OSError:  # also a base path that goes while it is read
        return None
    return {int(name): base / name for name in names if int(name) < 2**63}


def require_versions(base: Path) -> None:
    """Raises NotFound where a server would wait for ever without a word."""
    found = versions_in(base)
    if found is None:
        raise NotFound(f"expected a folder with numbered versions at {base}; there is no such folder")
    if not found:
        raise NotFound(f"expected numbered versions (such as {base}/1/saved_model.pb); {base} holds none")


def require_model(settings: Settings) -> None:
    """require_versions for the one model of settings without a config file."""
    if settings.model_config_file is None and settings.model_base_path is not None:
        require_versions(settings.model_base_path)


def drop_from_page_cache(folder: Path) -> None:
    """Tell the kernel that a loaded version's files will not be read again (--flush_filesystem_caches)."""
    if not hasattr(os, "posix_fadvise"):
        return
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError), path.open("rb") as file:  # folders, and files that are gone again
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
