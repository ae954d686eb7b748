"""The keywords of from_pretrained that say where a checkpoint comes from."""

from __future__ import annotations

from typing import Any

from flowformers.errors import InvalidInput

HUB = ("revision", "subfolder", "token", "cache_dir", "local_files_only", "force_download")
# Accepted because code written for transformers 4 passes them; they have nothing to decide here.
HARMLESS = ("resume_download", "trust_remote_code", "mirror", "_fast_init")


def hub_options(keywords: dict[str, Any]) -> dict[str, Any]:
    """Take them out of a call's keywords: those of checkpoint.resolve, None being one that was not given.

    use_auth_token is the old name of token. Raises InvalidInput for both at once, and for proxies.
    """
    for name in HARMLESS:
        keywords.pop(name, None)
    given = {name: keywords.pop(name, None) for name in (*HUB, "use_auth_token", "proxies")}
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
