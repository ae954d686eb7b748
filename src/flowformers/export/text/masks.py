"""Masked language models: text with mask tokens -> the likeliest words for each, as the fill-mask pipeline says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from flowformers.errors import InvalidInput
from flowformers.export.text.running import logits_of
from flowformers.text import Encoded, TFTokenizer
from flowformers.types import Tensor


def bodies(model: Any, graph: TFTokenizer, *, top_k: int = 5) -> dict[str, Callable[..., Mapping[str, Tensor]]]:
    """`text`: for each mask in the order of the text, the top_k fillings.

    Outputs: token, int32, token_str and sequence, string, score, float32, each [B, masks, top_k], padded with 0 and ""
    where a text has fewer masks than another; count, int32 [B], the masks of each text.
    """
    if not 1 <= top_k <= model.config.vocab_size:
        raise InvalidInput(f"expected a top_k of 1 to {model.config.vocab_size}, the vocabulary; got {top_k}")
    mask_id = graph.id_of("mask_token")
    if mask_id < 0:
        raise InvalidInput("expected a mask_token in the tokenizer; there is none to fill")
    forms = _Forms(graph)

    def text(text: Tensor) -> Mapping[str, Tensor]:
        batch = graph.encode([text])
        masked = batch.input_ids == mask_id
        places = tf.cast(tf.where(masked), tf.int32)  # [m, 2]
        probabilities = tf.nn.softmax(tf.gather_nd(logits_of(model, batch), places))
        score, token = tf.math.top_k(probabilities, top_k)
        count = tf.reduce_sum(tf.cast(masked, tf.int32), axis=1)
        filled = {
            "token": token,
            "token_str": tf.gather(forms.alone, token),
            "score": score,
            "sequence": forms.sequences(batch, places, token, tf.gather(count, places[:, 0]) == 1),
        }
        rows = tf.cast(tf.shape(text)[0], tf.int64)
        return {name: _by_text(value, places, rows, top_k) for name, value in filled.items()} | {"count": count}

    return {"text": text}


def _by_text(values: Tensor, places: Tensor, rows: Tensor, top_k: int) -> Tensor:
    ragged = tf.RaggedTensor.from_value_rowids(values, tf.cast(places[:, 0], tf.int64), rows, validate=False)
    return ragged.to_tensor(shape=[None, None, top_k])


class _Forms:
    """What each token of the vocabulary looks like in a text: first, further on, and as a text of its own."""

    def __init__(self, graph: TFTokenizer) -> None:
        tokens = tf.constant(graph.vocabulary)
        self._first, self._later = (
            graph.decoder.pieces(tokens, tf.fill(tf.shape(tokens), first)).numpy() for first in (True, False)
        )
        self._graph = graph
        self.alone = self._finished(tf.constant(self._first)).numpy()
        self._special = np.isin(np.arange(len(graph.vocabulary)), graph.special_ids)

    def _finished(self, joined: Tensor) -> Tensor:
        return self._graph.cleaned(self._graph.decoder.finish(joined))

    def sequences(self, batch: Encoded, places: Tensor, tokens: Tensor, readable: Tensor) -> Tensor:
        """The texts with `tokens` [m, K] at `places` [m, 2]: string [m, K]. readable: bool [m], no special tokens."""
        rows = tf.repeat(tf.gather(batch.input_ids, places[:, 0])[:, None, :], tf.shape(tokens)[1], axis=1)
        at = tf.range(tf.shape(rows)[2])[None, None, :] == places[:, 1, None, None]
        ids = tf.where(at, tokens[:, :, None], rows)
        kept = (ids != self._graph.pad_id) & ~(tf.gather(self._special, ids) & readable[:, None, None])
        first = kept & (tf.cumsum(tf.cast(kept, tf.int32), axis=2) == 1)
        pieces = tf.where(first, tf.gather(self._first, ids), tf.gather(self._later, ids))
        joined = tf.strings.reduce_join(tf.where(kept, pieces, ""), axis=-1)
        return tf.reshape(self._finished(tf.reshape(joined, [-1])), tf.shape(tokens))
