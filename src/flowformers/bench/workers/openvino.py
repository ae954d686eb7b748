"""OpenVINO on the CPU, from the same ONNX file: f32, bf16 by precision hint, int8 weights and activations by NNCF."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .hugging_face import config_of

PACKAGES = ("openvino",)
CALIBRATION = 16
INT8 = "int8.xml"


def prepare(folder: Path, *, variant: str, threads: int, scratch: Path) -> None:
    """From scratch/model.onnx, which is there already: the int8 model."""
    if variant == "int8" and not (scratch / INT8).is_file():
        _quantise(scratch, config_of(folder)["vocab_size"])


def load(folder: Path, *, variant: str, threads: int, scratch: Path) -> Any:
    """variant: fp32, bf16 or int8. See workers/__init__.py."""
    import openvino

    core = openvino.Core()
    model = core.read_model(scratch / (INT8 if variant == "int8" else "model.onnx"))
    hint = "bf16" if variant == "bf16" else "f32"
    settings = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": hint}
    request = core.compile_model(model, "CPU", settings).create_infer_request()

    def call(ids: Any, mask: Any) -> Any:
        return request.infer({"input_ids": ids, "attention_mask": mask})["last_hidden_state"]

    return call


def _quantise(scratch: Path, vocabulary: int) -> None:
    """Static scales, found on random sentences: speed does not depend on them, accuracy would."""
    import nncf
    import openvino

    model = openvino.Core().read_model(scratch / "model.onnx")
    data, kind = nncf.Dataset(list(_samples(vocabulary))), nncf.ModelType.TRANSFORMER
    quantised = nncf.quantize(model, data, model_type=kind, subset_size=CALIBRATION)
    openvino.save_model(quantised, scratch / INT8, compress_to_fp16=False)


def _samples(vocabulary: int) -> Iterator[dict[str, Any]]:
    random = np.random.default_rng(11)
    for length in random.integers(8, 64, CALIBRATION):
        ids = random.integers(0, vocabulary, [1, length], np.int32)
        yield {"input_ids": ids, "attention_mask": np.ones_like(ids)}
