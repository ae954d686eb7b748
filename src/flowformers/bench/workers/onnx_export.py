"""Writes scratch/model.onnx with PyTorch, for ONNX Runtime and OpenVINO. Run in PyTorch's environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .pytorch import encoder


def prepare(folder: Path, *, variant: str, threads: int, scratch: Path) -> None:
    """variant: transformers' name of the attention to trace."""
    import torch

    model = encoder(folder, attention=variant)
    sample = torch.ones([2, 8], dtype=torch.int32)
    axes = {0: "batch", 1: "length"}
    torch.onnx.export(
        _plain(model),
        (sample, sample),
        str(scratch / "model.onnx"),
        input_names=["input_ids", "attention_mask"],
        output_names=["last_hidden_state"],
        dynamic_axes={"input_ids": axes, "attention_mask": axes, "last_hidden_state": axes},
        opset_version=17,
        dynamo=False,
    )


def _plain(model: Any) -> Any:
    """The model with two inputs by position and one output."""
    import torch

    class Plain(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            return self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state

    return Plain()
