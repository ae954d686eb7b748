"""assets.extra/tf_serving_warmup_requests: a TFRecord of PredictionLog messages (TF Serving protocol, section 16)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf

from flowformers.errors import Kind, ServingError
from flowformers.types import Array
from flowformers.wire import predict_pb2
from flowformers.wire.json_form import DEFAULT_SIGNATURE
from flowformers.wire.tensors import to_array

LIMIT = 1000
PREDICT_LOG, REQUEST = 6, 1  # field numbers of PredictionLog.predict_log and PredictLog.request


def read_requests(path: Path) -> Iterator[tuple[str, dict[str, Array]]]:
    """(signature name, inputs) of every record. Raises ServingError for a broken file, or more than LIMIT records."""
    try:
        for index, record in enumerate(tf.data.TFRecordDataset(str(path)).as_numpy_iterator()):
            if index >= LIMIT:
                raise ServingError(Kind.INVALID_ARGUMENT, f"{path} holds more than {LIMIT} records")
            request = predict_pb2.PredictRequest.FromString(_field(_field(record, PREDICT_LOG), REQUEST))
            name = request.model_spec.signature_name or DEFAULT_SIGNATURE
            yield name, {key: to_array(value, key) for key, value in request.inputs.items()}
    except (tf.errors.OpError, ValueError) as error:
        raise ServingError(Kind.DATA_LOSS, f"{path} can't be read: {error}") from error


def _field(content: bytes, number: int) -> bytes:
    """The bytes of a length-delimited field: only these two of PredictionLog matter here."""
    position = 0
    while position < len(content):
        tag, position = _varint(content, position)
        if tag & 7 != 2:
            raise ValueError(f"expected messages only in a PredictionLog; got wire type {tag & 7}")
        length, position = _varint(content, position)
        if tag >> 3 == number:
            return content[position : position + length]
        position += length
    raise ValueError(f"field {number} is missing: only predict_log warm-up is supported")


def _varint(content: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(content):
            raise ValueError("the record ends early")
        byte = content[position]
        value, shift, position = value | (byte & 127) << shift, shift + 7, position + 1
        if byte < 128:
            return value, position
