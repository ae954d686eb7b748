"""The files of a tokenizer: from a folder or from the Hub."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flowformers import hub
from flowformers.errors import ConfigError

NAMES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt", "vocab.json", "merges.txt",
    "sentencepiece.bpe.model", "added_tokens.json", "config.json",
)  # fmt: skip
# Keywords of from_pretrained that choose or fetch a class in transformers; kept, they would end up in a saved folder.
CHOOSING = (
    "config", "from_slow", "mirror", "proxies", "resume_download", "tokenizer_type", "trust_remote_code", "use_fast",
)  # fmt: skip


def taken_folder(name_or_path: str | Path, keywords: dict[str, Any]) -> Path:
    """The folder that holds the files; what is not a setting of the tokenizer is taken out of the keywords."""
    older = keywords.pop("use_auth_token", None)
    if older is not None:
        keywords.setdefault("token", older)
    for name in CHOOSING:
        keywords.pop(name, None)
    return folder_of(name_or_path, **hub.taken_from(keywords))


def folder_of(name_or_path: str | Path, **options: Any) -> Path:
    """The folder that holds the files. options: those of hub.OPTIONS. Raises NotFound."""
    return hub.folder_of(name_or_path, NAMES, **options)


def read_settings(folder: Path, keywords: Mapping[str, Any]) -> dict[str, Any]:
    """What the folder says of its tokenizer, keywords before all else. Raises ConfigError.

    added_tokens_decoder: the tokens beside the vocabulary files by id, also where older files list them.
    """
    settings = (
        read_json(folder / "special_tokens_map.json") | read_json(folder / "tokenizer_config.json") | {**keywords}
    )
    older = {str(index): _plain_token(token) for token, index in read_json(folder / "added_tokens.json").items()}
    if isinstance(settings.get("extra_special_tokens"), list):  # transformers 5's name
        settings.setdefault("additional_special_tokens", settings.pop("extra_special_tokens"))
    listed = older | (settings.get("added_tokens_decoder") or {})
    return settings | ({"added_tokens_decoder": listed} if listed else {})


def _plain_token(content: str) -> dict[str, Any]:
    return {"content": content, "normalized": True, "special": False}


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
