"""A Hugging Face BERT checkpoint as NumPy, for engines that have no reader of their own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

Weights = dict[str, Any]


def config_of(folder: Path) -> dict[str, Any]:
    """config.json."""
    fields: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return fields


def weights_of(folder: Path) -> Weights:
    """Every tensor by its name, without a leading "bert."."""
    from safetensors.numpy import load_file

    return {name.removeprefix("bert."): value for name, value in load_file(folder / "model.safetensors").items()}


def dense(weights: Weights, name: str) -> list[Any]:
    """Kernel [in, out] and bias [out]."""
    return [weights[f"{name}.weight"].T, weights[f"{name}.bias"]]


def norm(weights: Weights, name: str) -> list[Any]:
    """gamma and beta [H]."""
    return [weights[f"{name}.weight"], weights[f"{name}.bias"]]


def heads(weights: Weights, name: str, count: int) -> list[Any]:
    """A projection into heads: kernel [H, N, D] and bias [N, D]."""
    kernel, bias = dense(weights, name)
    return [kernel.reshape(kernel.shape[0], count, -1), bias.reshape(count, -1)]


def joined(weights: Weights, name: str, count: int) -> list[Any]:
    """A projection out of heads: kernel [N, D, H] and bias [H]."""
    kernel, bias = dense(weights, name)
    return [kernel.reshape(count, -1, kernel.shape[1]), bias]
