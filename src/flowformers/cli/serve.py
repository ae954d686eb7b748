"""flowformers serve MODEL"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import os
from pathlib import Path
from typing import Any

from flowformers.cli.hub import add_hub_options, hub_options
from flowformers.cli.tensorflow import require_tensorflow
from flowformers.errors import NotFound

NOT_FLAGS = {"model_base_path", "model_name"}
CONTENT = ("*.json", "*.safetensors", "*.bin", "*.h5", "*.ckpt.*", "*.txt", "*.model")


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command: TensorFlow Serving's flags, with underscores or dashes."""
    from flowformers.serving.settings import Settings

    parser.add_argument("model", metavar="MODEL", help="Hub id, checkpoint folder, or folder of numbered SavedModels")
    parser.add_argument("--model_name", "--model-name", help="name in the URL (default: the folder's)")
    parser.add_argument("--task", help="sequence-classification, ... for a checkpoint (default: as config.json says)")
    flags = parser.add_argument_group("TensorFlow Serving's flags")
    for field in dataclasses.fields(Settings):
        if field.name in NOT_FLAGS:
            continue
        names = sorted({f"--{field.name}", f"--{field.name.replace('_', '-')}"}, reverse=True)
        kind: Any = _flag if isinstance(field.default, bool) else type(field.default)
        bare: dict[str, Any] = {"nargs": "?", "const": True} if isinstance(field.default, bool) else {}
        flags.add_argument(
            *names,
            dest=field.name,
            type=kind,
            default=field.default,
            help=f"default: {field.default}",
            metavar="",
            **bare,
        )
    add_hub_options(parser)


def _flag(text: str) -> bool:
    if text.lower() not in ("true", "false", "1", "0"):
        raise argparse.ArgumentTypeError(f"expected true or false, got {text!r}")
    return text.lower() in ("true", "1")


def run(arguments: argparse.Namespace) -> int:
    """Export if needed, then serve until SIGTERM."""
    require_tensorflow("serve")
    from flowformers.serving import Settings, run

    base = servable_base(arguments.model, arguments.task, hub_options(arguments))
    flags = {
        field.name: getattr(arguments, field.name)
        for field in dataclasses.fields(Settings)
        if field.name not in NOT_FLAGS
    }
    name = arguments.model_name or default_name(arguments.model)
    return int(run(Settings(model_base_path=base, model_name=name, **flags)))


def default_name(model: str) -> str:
    """The last part of a path or Hub id that is not just a place for versions."""
    parts = [part for part in Path(model).expanduser().absolute().parts if part != "saved_model"]
    return parts[-1].replace(":", "_") if parts else "default"


def servable_base(model: str, task: str | None, hub: dict[str, Any]) -> Path:
    """The folder of numbered versions that MODEL means; a checkpoint is exported once into the cache.

    Raises NotFound where MODEL is none of the three.
    """
    from flowformers.serving.storage import versions_in

    folder = Path(model).expanduser()
    for base in (folder, folder / "saved_model"):
        versions = versions_in(base) or {}
        if any((path / "saved_model.pb").is_file() for path in versions.values()):
            return base.absolute()
    if (folder / "saved_model.pb").is_file():
        raise NotFound(f"{folder} is one SavedModel; give the folder above it, whose children are numbered versions")
    return cached_export(model, task, hub)


def cached_export(model: str, task: str | None, hub: dict[str, Any]) -> Path:
    """The export of a checkpoint, kept in the cache under a key of its content."""
    from flowformers import checkpoint

    source = checkpoint.resolve(model, **hub)
    target = cache() / "exports" / content_key(source, task)
    if not (target / "saved_model" / "1" / "saved_model.pb").is_file():
        from flowformers.export import export_checkpoint

        export_checkpoint(str(source), target, task=task)
    return target / "saved_model"


def cache() -> Path:
    """$FLOWFORMERS_CACHE, $XDG_CACHE_HOME/flowformers or ~/.cache/flowformers."""
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.environ.get("FLOWFORMERS_CACHE") or f"{home}/flowformers").expanduser()


def content_key(folder: Path, task: str | None) -> str:
    """A key of every file's name and content, the task, and this version of flowformers and TensorFlow."""
    from importlib.metadata import version

    from flowformers import __version__

    digest = hashlib.sha256(f"{__version__} {version('tensorflow')} {task}".encode())
    for path in sorted(path for pattern in CONTENT for path in (*folder.glob(pattern), *folder.glob(f"*/{pattern}"))):
        with path.open("rb") as file:
            digest.update(f"{path.relative_to(folder)}{hashlib.file_digest(file, 'sha256').hexdigest()}".encode())
    return digest.hexdigest()[:32]
