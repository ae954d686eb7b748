"""A name -> a local folder: a path as it is, a Hub id through huggingface_hub's cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flowformers.errors import NotFound

SMALL = ("*.json", "*.txt", "*.model", "*/config.json", "*_Dense/*")
WEIGHTS = (  # in order of preference; the first that a repository has is the one downloaded
    ("model.safetensors",),
    ("model.safetensors.index.json", "model-*.safetensors"),
    ("pytorch_model.bin",),
    ("pytorch_model.bin.index.json", "pytorch_model-*.bin"),
    ("tf_model.h5",),
    ("tf_model.h5.index.json", "tf_model-*.h5"),
    ("bert_model.ckpt.index", "bert_model.ckpt.data-*"),
)


def resolve(
    name_or_path: str | Path,
    *,
    revision: str | None = None,
    subfolder: str = "",
    token: str | bool | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
    force_download: bool = False,
) -> Path:
    """The folder of a checkpoint: the one named, or a Hub repository's snapshot.

    Offline when local_files_only or HF_HUB_OFFLINE says so. Raises NotFound with what was looked for and what to do.
    """
    folder = Path(name_or_path).expanduser()
    if folder.is_dir():
        return _inside(folder, subfolder)
    if folder.is_file():
        raise NotFound(f"expected a checkpoint folder or a Hub id; {folder} is a file. Give the folder that holds it")
    if not _is_hub_id(str(name_or_path)):
        raise NotFound(f"expected a checkpoint folder or a Hub id (owner/name); there is no folder {name_or_path}")
    options = {"revision": revision, "token": token, "cache_dir": cache_dir, "local_files_only": local_files_only}
    return _inside(_snapshot(str(name_or_path), subfolder, options | {"force_download": force_download}), subfolder)


def _inside(folder: Path, subfolder: str) -> Path:
    if not (folder / subfolder).is_dir():
        raise NotFound(f"expected a folder {subfolder!r} in {folder}; there is none")
    return folder / subfolder


def _is_hub_id(name: str) -> bool:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return not name.startswith((".", "/", "~"))


def _snapshot(repo: str, subfolder: str, options: dict[str, Any]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    prefix = f"{subfolder.strip('/')}/" if subfolder else ""
    try:
        wanted = [prefix + pattern for pattern in SMALL] + _weights(repo, prefix, options)
        return Path(snapshot_download(repo, allow_patterns=wanted, **options))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise NotFound(
            f"there is no folder {repo!r}, and the Hub gave no repository of that name: {reason}. "
            "Check the spelling, the network, and for private repositories the token (HF_TOKEN)"
        ) from error


def _weights(repo: str, prefix: str, options: dict[str, Any]) -> list[str]:
    """Patterns of the one weight format to download; all of them where the repository can't be listed."""
    from huggingface_hub import HfApi, constants

    if options["local_files_only"] or constants.HF_HUB_OFFLINE:
        return [prefix + pattern for patterns in WEIGHTS for pattern in patterns]
    files = set(HfApi(token=options["token"]).list_repo_files(repo, revision=options["revision"]))
    for patterns in WEIGHTS:
        if prefix + patterns[0] in files:
            return [prefix + pattern for pattern in patterns]
    return []
