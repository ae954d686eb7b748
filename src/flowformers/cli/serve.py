"""flowformers serve MODEL"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import hashlib
import logging
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowformers.cli.hub import add_hub_options, hub_options
from flowformers.cli.tensorflow import require_tensorflow
from flowformers.errors import InvalidInput, NotFound

if TYPE_CHECKING:  # the commands' help is printed without TensorFlow
    from flowformers.export.graph import Attention

log = logging.getLogger("flowformers")

# Names that TensorFlow is published under.
TENSORFLOWS = ("tensorflow", "tensorflow-cpu", "tensorflow-macos", "tf-nightly")
WEIGHTS = ("*.safetensors", "*.bin", "*.h5")
CONTENT = ("*.json", *WEIGHTS, "*.ckpt.*", "*.txt", "*.model")


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command: TensorFlow Serving's flags, with underscores or dashes."""
    from flowformers.serving.settings import IGNORED, REFUSED, Settings

    parser.add_argument(
        "model", metavar="MODEL", nargs="?", help="Hub id, checkpoint folder, or folder of numbered SavedModels"
    )
    parser.add_argument("--task", help="sequence-classification, ... for a checkpoint (default: as config.json says)")
    parser.add_argument("--config", metavar="FILE", help="a TOML file of settings; flags and FLOWFORMERS_... win")
    parser.add_argument("--print_config", "--print-config", action="store_true", help="print all settings as TOML")
    parser.add_argument("--version", action="version", version=_versions())
    flags = parser.add_argument_group("settings (TensorFlow Serving's flags and some more)")
    for field in dataclasses.fields(Settings):
        default = "none" if field.default in (None, "") else str(field.default).lower()
        _add_flag(flags, field.name, f"{field.metadata['help']} (default: {default})")
    for name in (*REFUSED, *IGNORED):
        _add_flag(flags, name, argparse.SUPPRESS)
    add_hub_options(parser)
    parser.set_defaults(wrong_usage=parser.error)


def _add_flag(group: Any, name: str, text: str) -> None:
    names = sorted({f"--{name}", f"--{name.replace('_', '-')}"}, reverse=True)
    group.add_argument(*names, dest=f"flag_{name}", type=partial(_parsed, name), help=text, metavar="")


def _parsed(name: str, text: str) -> Any:
    from flowformers.serving.sources import parse

    try:
        return parse(name, text, f"--{name}")
    except InvalidInput as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def prepare(words: Sequence[str]) -> list[str]:
    """Booleans are given as --name or --name=value, so that a word after --name is a word of its own. One dash is
    enough, as for TensorFlow Serving.
    """
    from flowformers.serving.sources import kinds

    known = kinds()
    return [_prepared(word, known) for word in words]


def _prepared(word: str, known: Mapping[str, type]) -> str:
    bare = word.removeprefix("-").removeprefix("-")
    name = bare.partition("=")[0].replace("-", "_")
    if name not in known or bare == word:
        return word
    return f"--{bare}=true" if known[name] is bool and "=" not in bare else f"--{bare}"


def _versions() -> str:
    from importlib.metadata import PackageNotFoundError, version

    from flowformers import __version__

    for name in TENSORFLOWS:
        with contextlib.suppress(PackageNotFoundError):
            return f"flowformers {__version__}, TensorFlow {version(name)}"
    return f"flowformers {__version__}, no TensorFlow"


def run(arguments: argparse.Namespace) -> int:
    """Export if needed, then serve until SIGTERM."""
    from flowformers.serving import Settings
    from flowformers.serving.sources import collect, to_toml

    flags = {
        name.removeprefix("flag_"): value
        for name, value in vars(arguments).items()
        if name.startswith("flag_") and value is not None
    }
    given = collect(flags, os.environ, Path(arguments.config) if arguments.config else None)
    if arguments.model:
        given |= _only_model(arguments.model, given)
    if given.get("model_base_path") is None and given.get("model_config_file") is None:
        arguments.wrong_usage("expected MODEL, --model_base_path or --model_config_file")
    settings = Settings(**given)
    if arguments.print_config:
        print(to_toml(settings), end="")
        return 0
    require_tensorflow("serve")
    from flowformers.serving import run
    from flowformers.serving.server import check

    if arguments.model:
        check(settings)  # before an export
        attention: Attention = "by_length" if settings.enable_batching else "together"
        base = servable_base(arguments.model, arguments.task, hub_options(arguments), attention)
        settings = dataclasses.replace(settings, model_base_path=base)
    return int(run(settings))


def _only_model(model: str, given: dict[str, Any]) -> dict[str, Any]:
    """The settings that MODEL stands for."""
    for name in ("model_config_file", "model_base_path"):
        if given.get(name) is not None:
            raise InvalidInput(f"expected MODEL or {name}, not both; got {model!r} and {str(given[name])!r}")
    return {"model_base_path": Path(model), "model_name": given.get("model_name") or default_name(model)}


def default_name(model: str) -> str:
    """The last part of a path or Hub id that is not just a place for versions."""
    parts = [part for part in Path(model).expanduser().absolute().parts if part != "saved_model"]
    return parts[-1].replace(":", "_") if parts else "default"


def servable_base(model: str, task: str | None, hub: dict[str, Any], attention: Attention = "together") -> Path:
    """The folder of numbered versions that MODEL means; a checkpoint is exported once into the cache.

    A checkpoint with SavedModels beside its weights means these, unless a task is given; weights that are newer are
    told. attention: see export.Graph. Raises NotFound where MODEL is none of the three, InvalidInput for a task
    where there is no checkpoint.
    """
    folder = Path(model).expanduser()
    found = _exported(folder)
    if found is None and (folder / "saved_model.pb").is_file():
        raise NotFound(f"{folder} is one SavedModel; give the folder above it, whose children are numbered versions")
    if found is None and folder.is_dir() and not hub.get("subfolder") and not any(folder.glob("*config.json")):
        raise NotFound(
            f"expected config.json and weights, or numbered SavedModels such as {folder}/1/saved_model.pb; "
            f"{folder} has neither"
        )
    if found is None or (task is not None and found[0] != folder and (folder / "config.json").is_file()):
        return cached_export(model, task, hub, attention)
    base, newest = found
    if task is not None:
        raise InvalidInput(
            f"--task says how a checkpoint is read, but {base} holds SavedModels; leave --task out, or give the "
            "folder of a checkpoint"
        )
    if base != folder:
        _tell_newer(folder, newest)
    return base.absolute()


def _exported(folder: Path) -> tuple[Path, Path] | None:
    """The folder of numbered SavedModels that is meant, and the saved_model.pb of the highest; None without any."""
    from flowformers.serving.storage import versions_in

    for base in (folder, folder / "saved_model"):
        versions = sorted((versions_in(base) or {}).items(), reverse=True)
        files = [path / "saved_model.pb" for _, path in versions if (path / "saved_model.pb").is_file()]
        if files:
            return base, files[0]
    return None


def _tell_newer(folder: Path, saved_model: Path) -> None:
    """A warning only: a folder that was copied may have lost the order in which its files were written."""
    made = saved_model.stat().st_mtime_ns
    files = sorted(path for pattern in ("config.json", *WEIGHTS) for path in folder.glob(pattern))
    newer = [path.name for path in files if path.stat().st_mtime_ns > made]
    if newer:
        base = saved_model.parent.parent
        log.warning(
            "%s in %s: newer than %s, which is used all the same. To use the checkpoint remove %s, or export it to "
            "another folder; to use what is there without this warning give %s",
            " and ".join(newer), folder, saved_model, base, base,
        )  # fmt: skip


def cached_export(model: str, task: str | None, hub: dict[str, Any], attention: Attention = "together") -> Path:
    """The export of a checkpoint, kept in the cache under a key of its content."""
    from flowformers import checkpoint

    source = checkpoint.resolve(model, **hub)
    target = cache() / "exports" / content_key(source, f"{task} {attention}")
    if not (target / "saved_model" / "1" / "saved_model.pb").is_file():
        from flowformers.export import Graph, export_checkpoint

        export_checkpoint(str(source), target, task=task, graph=Graph(attention=attention), strict=True)
    return target / "saved_model"


def cache() -> Path:
    """$FLOWFORMERS_CACHE, $XDG_CACHE_HOME/flowformers or ~/.cache/flowformers."""
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.environ.get("FLOWFORMERS_CACHE") or f"{home}/flowformers").expanduser()


def content_key(folder: Path, options: str) -> str:
    """A key of every file's name and content, the options, and this version of flowformers and TensorFlow."""
    import tensorflow as tf

    from flowformers import __version__

    digest = hashlib.sha256(f"{__version__} {tf.__version__} {options}".encode())
    for path in sorted(path for pattern in CONTENT for path in (*folder.glob(pattern), *folder.glob(f"*/{pattern}"))):
        with path.open("rb") as file:
            digest.update(f"{path.relative_to(folder)}{hashlib.file_digest(file, 'sha256').hexdigest()}".encode())
    return digest.hexdigest()[:32]
