"""A name -> a local folder: a path as it is, a Hub id through huggingface_hub's cache."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flowformers.errors import InvalidInput, NotFound

log = logging.getLogger("flowformers")
OPTIONS = ("revision", "subfolder", "token", "cache_dir", "local_files_only", "force_download")
# Accepted because code written for transformers 4 passes them; they have nothing to decide here.
HARMLESS = ("resume_download", "trust_remote_code", "mirror", "_fast_init")


def taken_from(keywords: dict[str, Any]) -> dict[str, Any]:
    """Take the Hub's options out of a call's keywords; None stands for one that was not given.

    use_auth_token is the old name of token. Raises InvalidInput for both at once, and for proxies.
    """
    for name in HARMLESS:
        keywords.pop(name, None)
    given = {name: keywords.pop(name, None) for name in (*OPTIONS, "use_auth_token", "proxies")}
    if given.pop("proxies"):
        raise InvalidInput(
            "proxies can't be given to a call: the Hub's library takes them from the environment. "
            "Set HTTPS_PROXY (and NO_PROXY for what is reached without)"
        )
    old = given.pop("use_auth_token")
    if old is not None and given["token"] is not None:
        raise InvalidInput("expected token or use_auth_token, its old name; got both. Give token alone")
    given["token"] = old if given["token"] is None else given["token"]
    return {name: value for name, value in given.items() if value is not None}


def folder_of(
    name_or_path: str | Path,
    patterns: Sequence[str],
    formats: Sequence[Sequence[str]] = (),
    *,
    subfolder: str = "",
    **options: Any,
) -> Path:
    """The folder named, or the snapshot of a Hub repository with the files that fit.

    patterns: of files; formats: of each the patterns, only the first of which the repository has the first file is
    downloaded. options: the others of OPTIONS. Offline when local_files_only or HF_HUB_OFFLINE says so, and from the
    cache, with a warning, where the Hub gives nothing. Raises NotFound with what was looked for and what to do.
    """
    folder = Path(name_or_path).expanduser()
    if folder.is_dir():
        return _inside(folder, subfolder)
    if folder.is_file():
        raise NotFound(f"expected a checkpoint folder or a Hub id; {folder} is a file. Give the folder that holds it")
    if not _is_hub_id(str(name_or_path)):
        raise NotFound(f"expected a checkpoint folder or a Hub id (owner/name); there is no folder {name_or_path}")
    prefix = f"{subfolder.strip('/')}/" if subfolder else ""
    groups = [[prefix + pattern for pattern in group] for group in (patterns, *formats)]
    return _inside(_snapshot(str(name_or_path), groups[0], groups[1:], options), subfolder)


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


def _snapshot(repo: str, patterns: list[str], formats: list[list[str]], options: dict[str, Any]) -> Path:
    from huggingface_hub import constants

    offline = options.get("local_files_only") or constants.HF_HUB_OFFLINE
    try:
        return _cached(repo, options) if offline else _downloaded(repo, patterns, formats, options)
    except Exception as error:  # beside its own errors those of an HTTP library, which is another in each release
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        if not offline and not options.get("force_download"):
            with contextlib.suppress(Exception):
                folder = _cached(repo, options)
                log.warning("%s is read from the cache, as the Hub gave none: %s", repo, reason)
                return folder
        raise NotFound(
            f"there is no folder {repo!r}, and the Hub gave no repository of that name: {reason}. "
            "Check the spelling, the network, and for private repositories the token (HF_TOKEN)"
        ) from error


def _downloaded(repo: str, patterns: list[str], formats: list[list[str]], options: dict[str, Any]) -> Path:
    from huggingface_hub import HfApi, snapshot_download

    chosen: list[str] = []
    if formats:
        info = HfApi(token=options.get("token")).model_info(repo, revision=options.get("revision"))
        files = {one.rfilename for one in info.siblings or ()}
        chosen = next((group for group in formats if group[0] in files), [])
    return Path(snapshot_download(repo, allow_patterns=patterns + chosen, **options))


def _cached(repo: str, options: dict[str, Any]) -> Path:
    """The snapshot, whatever it holds: which files are needed is known where they are read."""
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(repo, allow_patterns=[], **options | {"local_files_only": True}))
