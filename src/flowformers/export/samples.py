"""A fixed request for every signature: what verification asks, and what the server warms up with."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from flowformers.export.functions import PREDICT, inputs_of, method_of
from flowformers.types import Array

FREE_SIZE = 3
TEXTS = (b"I love it.", b"", b"Not one of [MASK] <mask>, \xe2\x80\xa6 really?")

log = logging.getLogger("flowformers")

Samples = dict[str, dict[str, Any]]


def samples_of(functions: Mapping[str, Any], vocab_size: int) -> Samples:
    """Signature name -> inputs, constant tensors. Those of a tf.Example signature hold what a plain one is asked."""
    plain = {name: function for name, function in functions.items() if method_of(function) == PREDICT}
    found = {name: sample_inputs(function, vocab_size) for name, function in plain.items()}
    # By preference: Examples with pairs, with text, with ids.
    columns = next((found[name] for name in ("text_pair", "text", "ids", "serving_default") if name in found), None)
    examples = [name for name in functions if name not in plain]
    if columns is None:
        if examples:
            log.warning("%s: not compared and not warmed up, as only you know its features", ", ".join(examples))
        return found
    return found | {name: {"inputs": serialized_examples(columns)} for name in examples}


def sample_inputs(function: Any, vocab_size: int) -> dict[str, Any]:
    """A request by the specs: FREE_SIZE for free axes, ids within the vocabulary, a padded last row."""
    return {name: tf.constant(_sample(name, spec, vocab_size)) for name, spec in inputs_of(function).items()}


def _sample(name: str, spec: Any, vocab_size: int) -> Array:
    shape = [FREE_SIZE if size is None else size for size in spec.shape]
    random = np.random.default_rng(7)
    if spec.dtype == tf.string:
        return np.resize(np.array(TEXTS, object), shape)
    if spec.dtype.is_floating:
        return random.normal(size=shape).astype(spec.dtype.as_numpy_dtype)
    values = {
        "input_ids": random.integers(0, vocab_size, shape),
        "attention_mask": np.ones(shape),
        "position_ids": np.broadcast_to(np.arange(shape[-1]), shape),
    }.get(name, np.zeros(shape))
    if name == "attention_mask":
        values[-1, ..., -1] = 0
    return values.astype(spec.dtype.as_numpy_dtype)


def serialized_examples(columns: Mapping[str, Any]) -> Any:
    """Rows of a batch as serialized tf.Examples, string [n]; the first leaves out what it may."""
    rows = [
        dict(zip(columns, values, strict=True)) for values in zip(*(x.numpy() for x in columns.values()), strict=True)
    ]
    first = {name: value for name, value in rows[0].items() if name in ("text", "input_ids")}
    return tf.constant([_example(row).SerializeToString() for row in (first, *rows[1:])])


def _example(row: Mapping[str, Any]) -> Any:
    features = {
        name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        if isinstance(value, bytes)
        else tf.train.Feature(int64_list=tf.train.Int64List(value=value))
        for name, value in row.items()
    }
    return tf.train.Example(features=tf.train.Features(feature=features))
