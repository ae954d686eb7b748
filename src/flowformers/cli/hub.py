"""The options that choose among a Hub repository's files, for every command that loads a checkpoint."""

from __future__ import annotations

import argparse
from typing import Any

from flowformers.hub import OPTIONS


def add_hub_options(parser: argparse.ArgumentParser) -> None:
    """--revision and so on."""
    group = parser.add_argument_group("Hub")
    group.add_argument("--revision", help="branch, tag or commit")
    group.add_argument("--subfolder", default="", help="folder inside the repository or checkpoint folder")
    group.add_argument("--token", help="for private repositories; HF_TOKEN otherwise")
    group.add_argument("--cache_dir", "--cache-dir", help="where downloads are kept")
    group.add_argument("--local_files_only", "--local-files-only", action="store_true", help="download nothing")


def hub_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options given, as from_pretrained takes them."""
    return {name: getattr(arguments, name) for name in OPTIONS if getattr(arguments, name, None)}
