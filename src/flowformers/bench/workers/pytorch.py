"""PyTorch with transformers 5: SDPA attention; eager, compiled, or in bfloat16."""

from __future__ import annotations

from pathlib import Path
from typing import Any

PACKAGES = ("torch", "transformers")


def load(folder: Path, *, variant: str, threads: int, scratch: Path) -> Any:
    """variant: fp32, bf16 or compile. See workers/__init__.py."""
    import torch

    torch.set_num_threads(threads)
    torch.set_num_interop_threads(1)
    model = encoder(folder)
    if variant == "bf16":
        model = model.to(torch.bfloat16)
    run = torch.compile(model, dynamic=True) if variant == "compile" else model

    def call(ids: Any, mask: Any) -> Any:
        with torch.inference_mode():
            output = run(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask))
            return output.last_hidden_state.float().numpy()

    return call


def encoder(folder: Path, *, attention: str = "sdpa") -> Any:
    """BertModel in inference mode."""
    from transformers import BertModel

    return BertModel.from_pretrained(folder, attn_implementation=attention).eval()
