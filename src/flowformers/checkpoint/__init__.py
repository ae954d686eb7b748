"""A folder or Hub id -> tensors and back, in PyTorch's names and layout, without PyTorch."""

from __future__ import annotations

from flowformers.checkpoint.hub import resolve
from flowformers.checkpoint.names import NameTable, h5_model_name
from flowformers.checkpoint.plan import Parameter, Plan, plan, read_parameter
from flowformers.checkpoint.read import Checkpoint, open_checkpoint, read_first
from flowformers.checkpoint.write import write_h5, write_safetensors

__all__ = [
    "Checkpoint",
    "NameTable",
    "Parameter",
    "Plan",
    "h5_model_name",
    "open_checkpoint",
    "plan",
    "read_first",
    "read_parameter",
    "resolve",
    "write_h5",
    "write_safetensors",
]
