"""What every engine that stands on TensorFlow shares: the thread budget, and NumPy at both ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def limited_to(threads: int, *, ops: int = 1) -> Any:
    """TensorFlow with that many threads inside an op and so many ops at a time."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(ops)
    return tf


def encoder_call(model: Any, *, ids: str, mask: str, types: str, graph: bool) -> Callable[[Any, Any], Any]:
    """A Keras encoder's sequence_output. ids, mask, types: what it calls its inputs."""
    import tensorflow as tf

    def run(given: Any, real: Any) -> Any:
        inputs = {ids: given, mask: real, types: tf.zeros_like(given)}
        return model(inputs, training=False)["sequence_output"]

    return numpy_call(run, graph=graph)


def numpy_call(run: Callable[[Any, Any], Any], *, graph: bool) -> Callable[[Any, Any], Any]:
    """run: of tensors, int32 [B, S] both, in a tf.function of free shapes or as it is."""
    import tensorflow as tf

    specs = [tf.TensorSpec([None, None], tf.int32)] * 2
    body = tf.function(run, input_signature=specs) if graph else run
    return lambda ids, mask: body(tf.constant(ids), tf.constant(mask)).numpy()
