"""Not an engine but the limit of one: the encoder's dense products alone, on real tokens only, weights constant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .hugging_face import config_of
from .tensorflow_threads import limited_to

PACKAGES = ("tensorflow",)


def load(folder: Path, *, variant: str, threads: int, scratch: Path) -> Any:
    """variant: fp32 or bf16. The call returns nothing to compare. See workers/__init__.py."""
    tf = limited_to(threads)
    config = config_of(folder)
    width, inner = config["hidden_size"], config["intermediate_size"]
    dtype = {"fp32": tf.float32, "bf16": tf.bfloat16}[variant]
    shapes = [(width, width)] * 4 + [(width, inner), (inner, width)]
    random = np.random.default_rng(3)
    layers = [
        [random.standard_normal(shape, np.float32) / np.float32(width) for shape in shapes]
        for _ in range(config["num_hidden_layers"])
    ]

    def products(x: Any) -> Any:
        for kernels in layers:
            # Made inside the function: a tensor from outside would be an input, which oneDNN packs at every call.
            query, key, value, mixed, wider, narrower = (tf.constant(kernel, dtype) for kernel in kernels)
            sides = [tf.matmul(x, kernel) for kernel in (query, key, value)]
            x = tf.matmul(tf.matmul(tf.matmul(sides[0], mixed), wider), narrower)
            # Keeps the other two from being pruned, at the cost of one row.
            x = x + sides[1][:1] + sides[2][:1]
        return x

    graph = tf.function(products, input_signature=[tf.TensorSpec([None, width], dtype)])

    def call(ids: Any, mask: Any) -> Any:
        return tf.cast(graph(tf.ones([int(mask.sum()), width], dtype)), tf.float32).numpy()

    return call
