"""Where a checkpoint is, and which of its files are read."""

from __future__ import annotations

from pathlib import Path

from flowformers import hub

SMALL = ("*.json", "*.txt", "*.model", "*/config.json", "*_Dense/*")
WEIGHTS = (  # in order of preference
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
    """The folder of a checkpoint: the one named, or a Hub repository's snapshot with weights in one format.

    Raises NotFound, see hub.folder_of.
    """
    return hub.folder_of(
        name_or_path,
        SMALL,
        WEIGHTS,
        revision=revision,
        subfolder=subfolder,
        token=token,
        cache_dir=cache_dir,
        local_files_only=local_files_only,
        force_download=force_download,
    )
