"""Question answering: question and context -> the part of the context that answers.

As the question-answering pipeline of transformers 4.57: candidates of every window, widened to whole words; those with
the same text add up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from flowformers.errors import InvalidInput
from flowformers.export.text.lowercase import lower
from flowformers.export.text.running import answers_of
from flowformers.text import Encoded, TFTokenizer
from flowformers.types import Tensor

LONGEST = 384  # tokens of a window, unless the model's limit is lower
OVERLAP = 128
OUT = -10000.0  # the score of a token that can't be part of an answer
CANDIDATES = 12  # of each window: as many as the pipeline looks at for one answer


def bodies(
    model: Any,
    graph: TFTokenizer,
    *,
    max_seq_len: int | None = None,
    doc_stride: int | None = None,
    max_answer_len: int = 15,
    handle_impossible_answer: bool = False,
) -> dict[str, Callable[..., Mapping[str, Tensor]]]:
    """`text` takes question and context, string [B].

    Outputs: answer, string [B]; score, float32 [B]; start and end, int32 [B], in characters of the context. No answer
    is an empty string from 0 to 0.

    The options are the pipeline's: tokens of a window (default: at most 384), tokens that windows share (default: half
    a window, at most 128), tokens of an answer, and whether an empty answer may win.
    """
    length = min(graph.max_length, max_seq_len or LONGEST)
    stride = min(length // 2, OVERLAP) if doc_stride is None else doc_stride
    if not max_answer_len >= 1:
        raise InvalidInput(f"expected a max_answer_len of at least 1; got {max_answer_len}")
    if not 0 <= stride < length:
        raise InvalidInput(f"expected a doc_stride of 0 to {length - 1}, less than max_seq_len; got {stride}")

    def text(question: Tensor, context: Tensor) -> Mapping[str, Tensor]:
        batch = graph.encode(
            [question, context], truncation="only_second", max_length=length, stride=stride, offsets=True
        )
        starts, ends = _probabilities(answers_of(model, batch), batch, graph.id_of("cls_token"))
        null = tf.math.unsorted_segment_min(starts[:, 0] * ends[:, 0], batch.example, tf.shape(context)[0])
        found = _candidates(starts, ends, batch, max_answer_len)
        best = _best(found, graph.characters(context), batch.example)
        return _or_nothing(best, null) if handle_impossible_answer else best

    return {"text": text}


def _probabilities(output: Any, batch: Encoded, first_id: int) -> tuple[Tensor, Tensor]:
    """Of each token to begin or end the answer, float32 [rows, S]; 0 outside the context, but for the first token."""
    inside = (batch.sequence_ids == 1) | (batch.input_ids == first_id)
    scores = (tf.where(inside, tf.cast(output[name], tf.float32), OUT) for name in ("start_logits", "end_logits"))
    starts, ends = (tf.nn.softmax(one) for one in scores)
    return starts, ends


@dataclass(frozen=True)
class Candidates:
    """The likeliest parts of each window. score: float32 [rows, K]; start, end: int32 [rows, K], in characters."""

    score: Tensor
    start: Tensor
    end: Tensor


def _candidates(starts: Tensor, ends: Tensor, batch: Encoded, longest: int) -> Candidates:
    """Parts of up to `longest` tokens. What is no candidate has a score of 0."""
    size = tf.shape(starts)[1]
    answerable = tf.range(size)[None, :] > 0  # the first token stands for no answer
    starts = tf.where(answerable, starts, 0.0)
    ends = tf.pad(tf.where(answerable, ends, 0.0), [[0, 0], [0, longest - 1]])
    ahead = tf.range(size)[:, None] + tf.range(longest)[None, :]
    scores = tf.reshape(starts[:, :, None] * tf.gather(ends, ahead, axis=1), [-1, size * longest])
    score, place = tf.math.top_k(scores, tf.minimum(CANDIDATES, size * longest))
    first = place // longest
    start, end = _whole_words(batch, first, tf.minimum(first + place % longest, size - 1))
    return Candidates(score, start, end)


def _whole_words(batch: Encoded, first: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens first to last, int32 [rows, K] -> characters: from the beginning of a word to the end of one."""
    context = batch.sequence_ids == 1

    def same_word(token: Tensor) -> Tensor:
        word = tf.gather(batch.word_ids, token, batch_dims=1)
        return (batch.word_ids[:, None, :] == word[:, :, None]) & context[:, None, :]

    begins, stops = same_word(first), same_word(last)
    start = tf.reduce_min(tf.where(begins, batch.start[:, None, :], tf.int32.max), axis=-1)
    end = tf.reduce_max(tf.where(stops, batch.end[:, None, :], 0), axis=-1)
    in_words = tf.reduce_any(begins, -1) & tf.reduce_any(stops, -1)
    plain = tf.gather(batch.start, first, batch_dims=1), tf.gather(batch.end, last, batch_dims=1)
    return tf.where(in_words, start, plain[0]), tf.where(in_words, end, plain[1])


def _best(found: Candidates, context: Tensor, example: Tensor) -> dict[str, Tensor]:
    """Of all windows of an example, the text whose candidates add up to the most."""
    rows = tf.shape(context)[0]
    merged = {name: _by_example(value, example, rows) for name, value in vars(found).items()}
    length = tf.strings.length(context, unit="UTF8_CHAR")[:, None]
    start, end = tf.minimum(merged["start"], length), tf.minimum(merged["end"], length)
    whole = tf.broadcast_to(context[:, None], tf.shape(start))
    answer = tf.strings.substr(whole, start, tf.maximum(end - start, 0), unit="UTF8_CHAR")
    lower_case = lower(answer)
    same = (lower_case[:, :, None] == lower_case[:, None, :]) & (merged["score"] > 0)[:, None, :]
    total = tf.reduce_sum(tf.where(same, merged["score"][:, None, :], 0.0), axis=-1)
    leads = tf.argmax(same, axis=-1, output_type=tf.int32) == tf.range(tf.shape(start)[1])[None, :]
    # The first of those with the same text speaks for all: sums of the same numbers may differ in the last bit.
    total = tf.where(leads & (merged["score"] > 0), total, 0.0)
    best = tf.argmax(total, axis=-1)
    chosen = {"answer": answer, "score": total, "start": start, "end": end}
    return _blanked({name: tf.gather(value, best, batch_dims=1) for name, value in chosen.items()})


def _by_example(values: Tensor, example: Tensor, rows: Tensor) -> Tensor:
    """[windows, K] -> [B, most windows * K + 1], zeros behind."""
    by_window = tf.RaggedTensor.from_value_rowids(values, tf.cast(example, tf.int64), tf.cast(rows, tf.int64), False)
    dense = by_window.to_tensor()
    return tf.pad(tf.reshape(dense, [rows, tf.shape(dense)[1] * tf.shape(dense)[2]]), [[0, 0], [0, 1]])


def _blanked(best: dict[str, Tensor]) -> dict[str, Tensor]:
    """No answer where the best score is 0."""
    nothing = {"answer": "", "score": 0.0, "start": 0, "end": 0}
    return {name: tf.where(best["score"] > 0, value, nothing[name]) for name, value in best.items()}


def _or_nothing(best: dict[str, Tensor], null: Tensor) -> dict[str, Tensor]:
    nothing = {"answer": "", "score": null, "start": 0, "end": 0}
    return {name: tf.where(best["score"] >= null, value, nothing[name]) for name, value in best.items()}
