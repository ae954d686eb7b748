"""The small models that the server's measurements export."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from flowformers.errors import PeerUnavailable

TINY = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
SMALL = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}


def classifier(out: Path, sizes: dict[str, int], **options: Any) -> Path:
    """Export a sequence classifier with random weights; the folder of its versions. options: of save_pretrained."""
    from flowformers import BertConfig, TFBertForSequenceClassification

    model = TFBertForSequenceClassification(BertConfig(**sizes))
    model.save_pretrained(out, saved_model=True, **options)
    return out / "saved_model"


def in_process(base: Path, threads: int) -> Callable[[dict[str, Any]], Any]:
    """The call that the server makes of version 1, without the server: every output of serving_default."""
    from flowformers.serving.servable import Servable
    from flowformers.serving.settings import Settings

    settings = Settings(model_base_path=base, tensorflow_intra_op_parallelism=threads)
    servable = Servable(base / "1", 1, settings)
    signature = servable.signature("serving_default")
    if signature is None:
        raise PeerUnavailable(f"{base / '1'} has no serving_default")
    outputs = list(signature.outputs)
    return lambda inputs: servable.run(signature, inputs, outputs)


def row(length: int) -> dict[str, Any]:
    """One request of one row, int32 [1, S]."""
    ids = np.random.default_rng(6).integers(1, 30000, [1, length], np.int32)
    return {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}


def as_json(inputs: dict[str, Any]) -> bytes:
    """The columnar body of a predict request."""
    return json.dumps({"inputs": {name: value.tolist() for name, value in inputs.items()}}).encode()


def as_proto(inputs: dict[str, Any]) -> bytes:
    """A serialised PredictRequest for "model"."""
    from flowformers.wire import predict_pb2
    from flowformers.wire.tensors import to_proto

    request = predict_pb2.PredictRequest()
    request.model_spec.name = "model"
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(to_proto(value))
    encoded: bytes = request.SerializeToString()
    return encoded
