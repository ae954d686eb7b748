"""The files of a tokenizer: from a folder or from the Hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flowformers.errors import ConfigError, NotFound

NAMES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt", "vocab.json", "merges.txt",
    "sentencepiece.bpe.model", "config.json",
)  # fmt: skip


def folder_of(name_or_path: str | Path, *, subfolder: str = "", **options: Any) -> Path:
    """The folder that holds the files. options: revision, token, cache_dir, local_files_only, force_download.

    Raises NotFound.
    """
    folder = Path(name_or_path).expanduser()
    if folder.is_dir():
        return folder / subfolder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    patterns = [f"{subfolder}/{name}" if subfolder else name for name in NAMES]
    try:
        return Path(snapshot_download(str(name_or_path), allow_patterns=patterns, **options)) / subfolder
    except (HfHubHTTPError, LocalEntryNotFoundError, HFValidationError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise NotFound(
            f"expected a folder or a Hub id; there is no folder {name_or_path}, and the Hub: {reason}"
        ) from error


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; {} where there is no file. Raises ConfigError."""
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ConfigError(f"expected JSON in {path}; {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"expected a JSON object in {path}; got {type(content).__name__}")
    return content
