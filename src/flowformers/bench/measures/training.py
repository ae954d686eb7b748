"""The same fit, on real tokens only and on every position of padded batches.

A BERT of MiniLM's size with random weights, word embeddings frozen, no dropout (its random numbers depend on shapes);
1,024 sentences of the lengths of movie reviews with random words, whose first word decides the label.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from statistics import median
from typing import Any

import numpy as np

from flowformers.bench.records import Measure
from flowformers.bench.scenarios import sentence_lengths
from flowformers.bench.setup import Setup

SIZES = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
STILL = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
BATCH, VOCABULARY = 32, 30522


def measure(setup: Setup) -> Iterator[Measure]:
    """Each epoch of one model is followed by the same epoch of the other."""
    models = {"real tokens": _model(), "padded": _model()}
    models["padded"].set_weights(models["real tokens"].get_weights())
    data = {"real tokens": _batches(padded=False), "padded": _batches(padded=True)}
    seconds: dict[str, list[float]] = {name: [] for name in models}
    curves: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(1 + setup.rounds):
        for name, model in models.items():
            start = time.perf_counter()
            model.fit(data[name], epochs=1, verbose=0, callbacks=[_Curve(curves[name])])
            seconds[name].append(time.perf_counter() - start)
    times = {name: median(values[1:]) for name, values in seconds.items()}  # the first epoch traces
    for name, value in times.items():
        yield Measure("training", f"an epoch of 1,024 sentences, {name}", value, "s")
    yield Measure("training", "real tokens over padded", times["real tokens"] / times["padded"], "x", at_most=0.6)
    apart = float(np.max(np.abs(np.subtract(curves["real tokens"], curves["padded"]))))
    yield Measure("training", "largest difference between the loss curves", apart, "nats", at_most=1e-3)


def _model() -> Any:
    import keras

    from flowformers import BertConfig, TFBertForSequenceClassification

    keras.utils.set_random_seed(2)
    model = TFBertForSequenceClassification(BertConfig(**SIZES, **STILL))
    model.get_input_embeddings().trainable = False
    model.compile(optimizer=keras.optimizers.AdamW(1e-4, weight_decay=0.01))
    return model


def _batches(*, padded: bool) -> Any:
    """padded: the mask has a row of keys for each query, which says the same and selects the dense path."""
    import tensorflow as tf

    random, lengths = np.random.default_rng(4), sentence_lengths()
    rows = [lengths[start : start + BATCH] for start in range(0, len(lengths), BATCH)]
    batches = [_batch(random, one, padded) for one in rows]
    spec = {name: tf.TensorSpec([None] * value.ndim, tf.int32) for name, value in batches[0][0].items()}
    signature = (spec, tf.TensorSpec([None], tf.int32))
    data = tf.data.Dataset.from_generator(lambda: iter(batches), output_signature=signature)
    return data.apply(tf.data.experimental.assert_cardinality(len(batches)))


def _batch(random: np.random.Generator, lengths: tuple[int, ...], padded: bool) -> Any:
    mask = (np.arange(max(lengths))[None, :] < np.array(lengths)[:, None]).astype(np.int32)
    ids = random.integers(1, VOCABULARY, mask.shape, np.int32) * mask
    labels = (ids[:, 0] % 2).astype(np.int32)
    keys = np.repeat(mask[:, None, :], mask.shape[1], axis=1) if padded else mask
    return {"input_ids": ids, "attention_mask": keys}, labels


def _Curve(into: list[float]) -> Any:
    import keras

    class Curve(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            into.append(float(logs["loss"]))

    return Curve()
