"""What a concrete function takes, gives, and which method of TensorFlow Serving can call it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import tensorflow as tf

PREDICT, CLASSIFY, REGRESS = (f"tensorflow/serving/{name}" for name in ("predict", "classify", "regress"))


def inputs_of(function: Any) -> dict[str, Any]:
    """Input name -> TensorSpec, whether it was traced with keywords, positions or one dict."""
    args, kwargs = function.structured_input_signature
    if args and isinstance(args[0], dict):
        return dict(args[0])
    return {spec.name: spec for spec in args} | dict(kwargs)


def answers_of(function: Any, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Call it by names: output name -> tensor, output_0 and so on where it gives no dict."""
    args, _ = function.structured_input_signature
    result = function(dict(inputs)) if args and isinstance(args[0], dict) else function(**inputs)
    if isinstance(result, Mapping):
        return dict(result)
    return {f"output_{index}": value for index, value in enumerate(tf.nest.flatten(result))}


@contextmanager
def as_traced() -> Iterator[None]:
    """Functions called here, or in a thread that begins here, run op by op as they were traced: TensorFlow's optimiser
    changes nothing."""
    name = "disable_meta_optimizer"
    before = tf.config.optimizer.get_experimental_options().get(name, False)
    tf.config.optimizer.set_experimental_options({name: True})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({name: before})


def method_of(function: Any) -> str:
    """By the names that TensorFlow Serving's Classify and Regress ask for; else Predict's."""
    inputs, outputs = inputs_of(function), function.structured_outputs
    if set(inputs) != {"inputs"} or inputs["inputs"].dtype != tf.string or not isinstance(outputs, Mapping):
        return PREDICT
    if set(outputs) == {"outputs"}:
        return REGRESS
    return CLASSIFY if set(outputs) == {"classes", "scores"} else PREDICT
