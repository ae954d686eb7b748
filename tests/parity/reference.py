"""The PyTorch side. Imported only where torch is installed."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import transformers

from .cases import HEADS, Case, weight


def build(case: Case) -> tuple[Any, dict[str, tuple[int, ...]]]:
    """The PyTorch model of a case with its decided weights, and every tensor's shape by name."""
    stem = HEADS[case.model_type][0]
    config = getattr(transformers, f"{stem}Config")(**case.config, attn_implementation="eager")
    model = getattr(transformers, f"{stem}{case.head}")(config).eval()
    shapes = {}
    tied = set(getattr(model, "all_tied_weights_keys", {}) or {})
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if name not in tied:
            shapes[name] = tuple(parameter.shape)
            parameter.data = torch.from_numpy(weight(name, tuple(parameter.shape)))
    model.tie_weights()
    return model, shapes


def answers(case: Case) -> tuple[dict[str, np.ndarray], dict[str, tuple[int, ...]]]:
    """Every output of a case as float32 arrays, states and weights stacked, and the loss as a mean."""
    model, shapes = build(case)
    inputs = {name: torch.from_numpy(np.array(value)) for name, value in (case.inputs | case.labels).items()}
    with torch.no_grad():
        output = model(**inputs, output_hidden_states=True, output_attentions=True, return_dict=True)
    found = {}
    for name, value in output.items():
        if not isinstance(value, torch.Tensor | tuple) or value == ():  # a cache; no cross-attention
            continue
        stacked = torch.stack(value) if isinstance(value, tuple) else value
        found[name] = stacked.float().numpy()
    return found, shapes


def gradients(case: Case) -> tuple[dict[str, np.ndarray], dict[str, tuple[int, ...]]]:
    """The gradient of a case's loss with respect to every weight, and the weights' shapes."""
    model, shapes = build(case)
    inputs = {name: torch.from_numpy(np.array(value)) for name, value in (case.inputs | case.labels).items()}
    model(**inputs, return_dict=True).loss.backward()
    return {name: p.grad.numpy() for name, p in model.named_parameters() if p.grad is not None}, shapes


def real_answers(folder: Any, batch: dict[str, np.ndarray], *, states: bool) -> dict[str, np.ndarray]:
    """A real base model's answers at real positions; with states every layer's, and each attention from token 0."""
    model = transformers.AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    with torch.no_grad():
        output = model(
            **{name: torch.from_numpy(value) for name, value in batch.items()},
            output_hidden_states=states,
            output_attentions=states,
        )
    real = batch["attention_mask"].astype(bool)
    found = {"last_hidden_state": output.last_hidden_state.numpy()[real], "pooler_output": output.pooler_output.numpy()}
    if states:
        found["hidden_states"] = np.stack([state.numpy()[real] for state in output.hidden_states])
        found["attentions"] = np.stack([weights.numpy()[:, :, 0] for weights in output.attentions])
    return found
