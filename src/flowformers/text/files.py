"""The files of a tokenizer: from a folder or from the Hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flowformers import hub
from flowformers.errors import ConfigError

NAMES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt", "vocab.json", "merges.txt",
    "sentencepiece.bpe.model", "config.json",
)  # fmt: skip


def folder_of(name_or_path: str | Path, **options: Any) -> Path:
    """The folder that holds the files. options: those of hub.OPTIONS. Raises NotFound."""
    return hub.folder_of(name_or_path, NAMES, **options)


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
