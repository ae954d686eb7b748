"""The model that everybody times: a checkpoint that is given, or BERT-base with random weights."""

from __future__ import annotations

import json
from pathlib import Path

from flowformers import checkpoint
from flowformers.errors import InvalidInput
from flowformers.progress import stage

SEED = 1


def model_folder(given: str | None, cache: Path) -> Path:
    """A folder with config.json and model.safetensors of a BERT.

    given: a checkpoint folder or Hub id; None makes BERT-base with fixed random weights below cache, once. Raises
    InvalidInput for another architecture.
    """
    if given is None:
        return _random_base(cache / "bert-base-random")
    folder = checkpoint.resolve(given)
    fields = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if fields.get("model_type") != "bert" or not (folder / "model.safetensors").is_file():
        raise InvalidInput(f"expected a BERT with model.safetensors to time with every engine; {folder} is not one")
    return folder


def _random_base(folder: Path) -> Path:
    if not (folder / "config.json").is_file():
        with stage("Drawing BERT-base's weights"):
            write_random(folder)
    return folder


def write_random(folder: Path, **changes: int) -> None:
    """BERT with BertConfig's defaults (BERT-base) but for the changes. Biases and norms are random too: an engine that
    mixes two of them up must be found out."""
    import keras
    import numpy as np

    from flowformers import BertConfig, TFBertModel

    keras.utils.set_random_seed(SEED)
    model = TFBertModel(BertConfig(**changes))
    random = np.random.default_rng(SEED)
    for weight in model.weights:
        if len(weight.shape) == 1:
            weight.assign_add(random.normal(0.0, 0.02, weight.shape).astype(np.float32))
    model.save_pretrained(folder, safe_serialization=True)
