"""Token classification: text -> entities, grouped as Hugging Face's token-classification pipeline groups them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from flowformers.errors import InvalidInput
from flowformers.export.text.overlaps import without_overlaps
from flowformers.export.text.running import labels_of, logits_of
from flowformers.text import Decoder, Encoded, TFTokenizer
from flowformers.types import Array, Tensor

STRATEGIES = ("none", "simple", "first", "average", "max")
Bodies = dict[str, Callable[..., Mapping[str, Tensor]]]


def bodies(
    model: Any,
    graph: TFTokenizer,
    *,
    aggregation_strategy: str = "none",
    ignore_labels: Sequence[str] = ("O",),
    stride: int | None = None,
) -> Bodies:
    """`text`: the entities of each text. `tokens`: every token, whatever its label.

    Outputs of both, padded at the end of the second axis: label and word, string [B, E]; score, float32 [B, E]; start
    and end, int32 [B, E], in characters of the text; count, int32 [B], how many there are.

    aggregation_strategy, ignore_labels and stride are the pipeline's: with a stride, texts longer than the model are
    read in windows that share that many tokens; else they are cut.
    """
    if aggregation_strategy not in STRATEGIES:
        raise InvalidInput(f"expected an aggregation_strategy of {', '.join(STRATEGIES)}; got {aggregation_strategy!r}")
    if stride is not None and aggregation_strategy == "none":
        raise InvalidInput("stride needs an aggregation_strategy other than none, as in the pipeline")

    def text(text: Tensor) -> Mapping[str, Tensor]:
        batch = graph.encode([text], stride=stride, offsets=True)
        tokens = _tokens(graph, text, batch, tf.nn.softmax(logits_of(model, batch)))
        found = _entities(model.config, graph, tokens, aggregation_strategy, ignore_labels)
        rows = tf.shape(text)[0]
        windows = tf.math.unsorted_segment_sum(tf.ones_like(batch.example), batch.example, rows)
        return found.dense(rows) if stride is None else without_overlaps(found.dense(rows), windows > 1)

    def tokens(text: Tensor) -> Mapping[str, Tensor]:
        batch = graph.encode([text], offsets=True)
        found = _tokens(graph, text, batch, tf.nn.softmax(logits_of(model, batch)))
        return _labelled(model.config, found, ()).dense(tf.shape(text)[0])

    return {"text": text, "tokens": tokens}


@dataclass(frozen=True)
class Tokens:
    """All tokens of a batch, one after the other, without special ones.

    window and example, int32 [t], the row of the batch and the text that it is from; word: string [t]; scores: float32
    [t, C]; start, end: int32 [t]; continues: bool [t], whether it goes on with the word of the token before.
    """

    window: Tensor
    example: Tensor
    word: Tensor
    scores: Tensor
    start: Tensor
    end: Tensor
    continues: Tensor


@dataclass(frozen=True)
class Entities:
    """What was found, in the order of the texts. example: int32 [e]; the others as in bodies(), [e]."""

    example: Tensor
    label: Tensor
    word: Tensor
    score: Tensor
    start: Tensor
    end: Tensor

    def dense(self, rows: Tensor) -> dict[str, Tensor]:
        """Each [rows, E], and count [rows]."""
        names = ("label", "word", "score", "start", "end")
        owner = tf.cast(self.example, tf.int64)
        ragged = {
            name: tf.RaggedTensor.from_value_rowids(getattr(self, name), owner, tf.cast(rows, tf.int64), validate=False)
            for name in names
        }
        count = tf.cast(ragged["score"].row_lengths(), tf.int32)
        return {name: value.to_tensor() for name, value in ragged.items()} | {"count": count}


def _tokens(graph: TFTokenizer, text: Tensor, batch: Encoded, scores: Tensor) -> Tokens:
    """text: string [B]; scores: float32 [rows, S, C]."""
    kept = batch.sequence_ids >= 0
    window = tf.cast(tf.where(kept)[:, 0], tf.int32)
    example = tf.gather(batch.example, window)
    ids, start, end = (tf.boolean_mask(x, kept) for x in (batch.input_ids, batch.start, batch.end))
    written = tf.strings.substr(tf.gather(graph.characters(text), example), start, end - start, unit="UTF8_CHAR")
    token = tf.gather(tf.constant(graph.vocabulary), ids)
    unknown = ids == graph.id_of("unk_token")
    if graph.marks_continuation:
        continues = tf.gather(_lengths(graph.vocabulary), ids) != end - start
    else:
        continues = ~_after_space(graph, text, example, start)
    word = tf.where(unknown, written, token)
    return Tokens(window, example, word, tf.boolean_mask(scores, kept), start, end, continues & ~unknown)


def _lengths(tokens: Sequence[str]) -> Array:
    return np.array([len(token) for token in tokens], np.int32)


def _after_space(graph: TFTokenizer, text: Tensor, example: Tensor, start: Tensor) -> Tensor:
    """Whether a token begins a text or has a space as its first character or before it."""
    before = tf.maximum(start - 1, 0)
    near = tf.strings.substr(
        tf.gather(graph.characters(text), example), before, tf.fill(tf.shape(start), 2), "UTF8_CHAR"
    )
    return (start == 0) | tf.strings.regex_full_match(near, "(?s).* .*")


def _entities(config: Any, graph: TFTokenizer, tokens: Tokens, strategy: str, ignored: Sequence[str]) -> Entities:
    if strategy == "none":
        return _labelled(config, tokens, ignored)
    words = tokens if strategy == "simple" else _words(graph.decoder, tokens, strategy)
    return _groups(config, graph.decoder, words, ignored)


def _labelled(config: Any, tokens: Tokens, ignored: Sequence[str]) -> Entities:
    label, labels = tf.argmax(tokens.scores, axis=-1), labels_of(config)
    kept = tf.gather([one not in ignored for one in labels], label)
    values = (
        tokens.example,
        tf.gather(labels, label),
        tokens.word,
        tf.reduce_max(tokens.scores, axis=-1),
        tokens.start,
        tokens.end,
    )
    return Entities(*(tf.boolean_mask(value, kept) for value in values))


@dataclass(frozen=True)
class Runs:
    """Neighbours that belong together. owner: int32 [t], the run of each; first, last: int32 [r], its ends."""

    owner: Tensor
    first: Tensor
    last: Tensor

    @classmethod
    def beginning(cls, begins: Tensor) -> Runs:
        """begins: bool [t], where a run begins."""
        first = tf.cast(tf.where(begins)[:, 0], tf.int32)
        after = tf.concat([first[1:], tf.shape(begins)], 0)[: tf.size(first)]
        return cls(tf.cumsum(tf.cast(begins, tf.int32)) - 1, first, after - 1)

    def mean(self, values: Tensor) -> Tensor:
        """values: float32 [t, ...]. Returns the mean of each run."""
        return tf.math.segment_mean(values, self.owner)

    def joined(self, decoder: Decoder, words: Tensor) -> Tensor:
        """words: string [t]. Returns the text of each run, string [r]."""
        begins = tf.gather(self.first, self.owner) == tf.range(tf.size(self.owner))
        pieces = decoder.pieces(words, begins)
        return decoder.finish(tf.strings.unsorted_segment_join(pieces, self.owner, tf.size(self.first)))


def _begins_window(window: Tensor) -> Tensor:
    return tf.concat([[True], window[1:] != window[:-1]], 0)[: tf.size(window)]


def _words(decoder: Decoder, tokens: Tokens, strategy: str) -> Tokens:
    """One token for each word, whose scores are chosen by the strategy."""
    runs = Runs.beginning(~tokens.continues | _begins_window(tokens.window))
    if strategy == "average":
        scores = runs.mean(tokens.scores)
    else:
        scores = tf.gather(tokens.scores, runs.first if strategy == "first" else _surest(tokens.scores, runs))
    return Tokens(
        window=tf.gather(tokens.window, runs.first),
        example=tf.gather(tokens.example, runs.first),
        word=runs.joined(decoder, tokens.word),
        scores=scores,
        start=tf.gather(tokens.start, runs.first),
        end=tf.gather(tokens.end, runs.last),
        continues=tf.zeros_like(runs.first, tf.bool),
    )


def _surest(scores: Tensor, runs: Runs) -> Tensor:
    """The token of each run with the highest score, the first of equals. int32 [r]."""
    highest = tf.reduce_max(scores, axis=-1)
    count, place = tf.size(runs.first), tf.range(tf.size(highest))
    among = highest == tf.gather(tf.math.unsorted_segment_max(highest, runs.owner, count), runs.owner)
    return tf.math.unsorted_segment_min(tf.where(among, place, tf.size(highest)), runs.owner, count)


def _groups(config: Any, decoder: Decoder, words: Tokens, ignored: Sequence[str]) -> Entities:
    """Neighbours with the same tag become one entity, unless the label begins with B-."""
    labels = labels_of(config)
    tags = [label[2:] if label.startswith(("B-", "I-")) else label for label in labels]
    names = [label.split("-", 1)[-1] for label in labels]
    label = tf.argmax(words.scores, axis=-1)
    tag = tf.gather([tags.index(one) for one in tags], label)
    begins = tf.gather([one.startswith("B-") for one in labels], label) | _begins_window(words.window)
    runs = Runs.beginning(begins | tf.concat([[True], tag[1:] != tag[:-1]], 0)[: tf.size(tag)])
    name = tf.gather(label, runs.first)
    kept = tf.gather([one not in ignored for one in names], name)
    score = runs.mean(tf.reduce_max(words.scores, axis=-1))
    entities = Entities(
        example=tf.gather(words.example, runs.first),
        label=tf.gather(names, name),
        word=runs.joined(decoder, words.word),
        score=score,
        start=tf.gather(words.start, runs.first),
        end=tf.gather(words.end, runs.last),
    )
    return Entities(*(tf.boolean_mask(value, kept) for value in vars(entities).values()))
