"""One assertion for every family and head: the answers of a case, at real positions, to an absolute tolerance."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

import flowformers

from .cases import HEADS, Case, weight

# Absolute, float32: sums of up to a few hundred products taken in another order.
TOLERANCE = 1e-5
PER_TOKEN = ("last_hidden_state", "prediction_logits", "start_logits", "end_logits")


def write_checkpoint(case: Case, shapes: dict[str, Any], folder: Path) -> Path:
    """A checkpoint folder as PyTorch would have saved it."""
    save_file({name: weight(name, tuple(shape)) for name, shape in shapes.items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(case.config))
    return folder


def load(case: Case, shapes: dict[str, Any], folder: Path) -> Any:
    """Our model of a case, loaded through the public door, with nothing missing and nothing unused."""
    cls = getattr(flowformers, f"TF{HEADS[case.model_type][0]}{case.head}")
    model, info = cls.from_pretrained(write_checkpoint(case, shapes, folder), output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    return model


def assert_equal(case: Case, model: Any, expected: dict[str, np.ndarray]) -> None:
    """The padding-free answers, the dense ones with every state and weight, and the loss."""
    packed = model(case.inputs)
    dense = model({**case.inputs, **our_labels(case)}, output_hidden_states=True, output_attentions=True)
    for name, value in expected.items():
        for got in (packed, dense):
            if name in got:
                assert_close(case, name, value, as_array(name, got[name]))
        assert name in dense, f"{case.name}: {name} is not among {list(dense)}"


def our_labels(case: Case) -> dict[str, np.ndarray]:
    """TensorFlow transformers called the label of next-sentence prediction by its own name."""
    if case.head == "ForNextSentencePrediction":
        return {"next_sentence_label": case.labels["labels"]}
    return case.labels


def as_array(name: str, value: Any) -> np.ndarray:
    array = np.stack([np.asarray(one) for one in value]) if isinstance(value, tuple) else np.asarray(value)
    return array.mean() if name == "loss" else array


def assert_close(case: Case, name: str, expected: np.ndarray, got: np.ndarray) -> None:
    """Differences are taken where a position is real; a padded position means nothing on either side."""
    assert expected.shape == got.shape, f"{case.name}: {name} has shape {got.shape}, expected {expected.shape}"
    if name == "loss" and not np.isfinite(expected):
        return  # PyTorch divides by zero when no token is labelled
    difference = np.asarray(np.abs(expected - got))[at_real_positions(case, name, expected)]
    assert difference.max(initial=0) <= TOLERANCE, f"{case.name}: {name} differs by {difference.max():.2e}"


def at_real_positions(case: Case, name: str, value: np.ndarray) -> Any:
    real = case.real.reshape(-1, case.real.shape[-1]) == 1
    each = case.head == "ForPreTraining" or value.ndim == 3  # ELECTRA's discriminator has one score for every token
    per_token = name in PER_TOKEN or (name == "logits" and value.shape[:2] == case.real.shape[:2] and each)
    if per_token and case.real.ndim == 2:
        return real
    if name == "hidden_states":
        return (slice(None), real)
    if name == "attentions":  # a row of weights for each real query
        return tuple(np.broadcast_to(real[None, :, None, :, None], value.shape).nonzero())
    return ...
