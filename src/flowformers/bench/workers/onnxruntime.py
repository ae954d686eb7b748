"""ONNX Runtime on the CPU: the graph as exported, fused by its transformer optimiser, or with dynamic int8 weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .hugging_face import config_of

PACKAGES = ("onnxruntime", "onnx")


FILES = {"fp32": "model.onnx", "fused": "fused.onnx", "int8": "int8.onnx"}


def prepare(folder: Path, *, variant: str, threads: int, scratch: Path) -> None:
    """From scratch/model.onnx, which is there already: the fused graph, and from that the int8 one."""
    if variant != "fp32" and not (scratch / FILES["fused"]).is_file():
        _fuse(scratch, config_of(folder))
    if variant == "int8" and not (scratch / FILES["int8"]).is_file():
        _quantise(scratch)


def load(folder: Path, *, variant: str, threads: int, scratch: Path) -> Any:
    """variant: fp32, fused or int8. See workers/__init__.py."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(str(scratch / FILES[variant]), options, providers=["CPUExecutionProvider"])
    types = {one.name: one.type for one in session.get_inputs()}

    def call(ids: Any, mask: Any) -> Any:
        feeds = {name: value.astype(_dtype(types[name])) for name, value in inputs(ids, mask)}
        return session.run(["last_hidden_state"], feeds)[0]

    def inputs(ids: Any, mask: Any) -> Any:
        return (("input_ids", ids), ("attention_mask", mask))

    return call


def _dtype(name: str) -> str:
    return {"tensor(int32)": "int32", "tensor(int64)": "int64"}[name]


def _fuse(scratch: Path, config: dict[str, Any]) -> None:
    """Attention, LayerNorm, Gelu and embeddings as ONNX Runtime's own operators."""
    from onnxruntime.transformers.optimizer import optimize_model

    heads, width = config["num_attention_heads"], config["hidden_size"]
    model = optimize_model(str(scratch / FILES["fp32"]), model_type="bert", num_heads=heads, hidden_size=width)
    model.save_model_to_file(str(scratch / FILES["fused"]))


def _quantise(scratch: Path) -> None:
    """Weights to int8 a channel; activations are quantised as they come."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    source, target = str(scratch / FILES["fused"]), str(scratch / FILES["int8"])
    # Fused operators have no shape inference; every tensor that matters is float32.
    options = {"DefaultTensorType": onnx.TensorProto.FLOAT}
    quantize_dynamic(source, target, weight_type=QuantType.QInt8, per_channel=True, extra_options=options)
