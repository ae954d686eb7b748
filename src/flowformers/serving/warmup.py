"""assets.extra/tf_serving_warmup_requests: a TFRecord of PredictionLog messages (TF Serving protocol, section 16)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from flowformers.errors import Kind, ServingError
from flowformers.serving import metrics
from flowformers.serving.servable import Servable
from flowformers.types import Array
from flowformers.wire import prediction_log_pb2
from flowformers.wire.examples import serialized
from flowformers.wire.json_form import DEFAULT_SIGNATURE
from flowformers.wire.tensors import to_array

LIMIT = 1000


def warm_up(servable: Servable, path: Path, repeats: int) -> int:
    """Run every request so many times; returns how many requests there are. Raises ServingError for one that fails."""
    began, count, status = time.perf_counter(), 0, "failure"
    try:
        for name, inputs in read_requests(path):
            signature = servable.signature(name)
            if signature is None:
                raise ServingError(Kind.INVALID_ARGUMENT, f"{path}: no signature {name!r}")
            filled = signature.filled(inputs)
            for _ in range(repeats):
                servable.run(signature, filled, list(signature.outputs))
            count += 1
        status = "success"
    finally:
        metrics.warmed_up(str(servable.folder), status, time.perf_counter() - began, count)
    return count


def read_requests(path: Path) -> Iterator[tuple[str, dict[str, Array]]]:
    """(signature name, inputs) of every record. Raises ServingError for a broken file, or more than LIMIT records."""
    try:
        for index, record in enumerate(tf.data.TFRecordDataset(str(path)).as_numpy_iterator()):
            if index >= LIMIT:
                raise ServingError(Kind.INVALID_ARGUMENT, f"{path} holds more than {LIMIT} records")
            yield from _requests(record)
    except (tf.errors.OpError, ValueError, DecodeError) as error:
        raise ServingError(Kind.DATA_LOSS, f"{path} can't be read: {error}") from error


def _requests(record: bytes) -> Iterator[tuple[str, dict[str, Array]]]:
    """What one PredictionLog asks; nothing where it is empty."""
    log = prediction_log_pb2.PredictionLog.FromString(record)
    kind = log.WhichOneof("log_type")
    if kind is None:
        return
    if kind not in ("predict_log", "classify_log", "regress_log", "multi_inference_log"):
        raise ValueError(f"{kind} is no request that warm-up can run")
    request: Any = getattr(log, kind).request
    if kind == "predict_log":
        yield _signature(request), {key: to_array(value, key) for key, value in request.inputs.items()}
    else:
        asked = request.tasks if kind == "multi_inference_log" else [request]
        yield from ((_signature(one), {"inputs": np.array(serialized(request.input), object)}) for one in asked)


def _signature(request: Any) -> str:
    return request.model_spec.signature_name or DEFAULT_SIGNATURE
