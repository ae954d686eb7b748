"""Ids of one or two texts -> the padded batch a model takes, as `tokenizers` truncates, joins and pads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flowformers.errors import InvalidInput
from flowformers.types import Tensor

STRATEGIES = ("longest_first", "only_first", "only_second")


@dataclass(frozen=True)
class Piece:
    """One part of a template: a special token's id, or sequence A or B; with its token type."""

    special: int | None
    sequence: str
    type_id: int


Template = tuple[Piece, ...]


def templates(settings: Mapping[str, Any] | None) -> tuple[Template, Template]:
    """The single and the pair form that a tokenizer.json's post_processor makes. Raises InvalidInput."""
    kind = (settings or {}).get("type")
    if settings is None or kind == "ByteLevel":  # which only moves offsets
        return (Piece(None, "A", 0),), (Piece(None, "A", 0), Piece(None, "B", 1))
    if kind == "Sequence":
        useful = [one for one in settings["processors"] if one["type"] != "ByteLevel"]
        return templates(useful[0] if useful else None)
    if kind in ("BertProcessing", "RobertaProcessing"):
        return _classic(settings["cls"][1], settings["sep"][1], roberta=kind.startswith("R"))
    if kind == "TemplateProcessing":
        ids = {name: token["ids"] for name, token in settings["special_tokens"].items()}
        return _template(settings["single"], ids), _template(settings["pair"], ids)
    raise InvalidInput(f"expected a post_processor with a graph form in tokenizer.json; got {kind}")


def _classic(cls: int, sep: int, *, roberta: bool) -> tuple[Template, Template]:
    second = 0 if roberta else 1
    single = Piece(cls, "", 0), Piece(None, "A", 0), Piece(sep, "", 0)
    middle = (Piece(sep, "", 0),) if roberta else ()
    return single, (*single, *middle, Piece(None, "B", second), Piece(sep, "", second))


def _template(pieces: Sequence[Mapping[str, Any]], ids: Mapping[str, Sequence[int]]) -> Template:
    found: list[Piece] = []
    for piece in pieces:
        ((kind, content),) = piece.items()
        if kind == "Sequence":
            found.append(Piece(None, content["id"], content["type_id"]))
        else:
            found.extend(Piece(number, "", content["type_id"]) for number in ids[content["id"]])
    return tuple(found)


def truncated(lengths: Sequence[Tensor], room: int, strategy: str) -> list[Tensor]:
    """How many ids of each text stay. lengths: int [B], one or two; room: ids besides the special tokens.

    longest_first in closed form: the shorter text is cut last, and of two equal ones the second counts as the longer.
    Where the one that may be cut is too short to make room, `tokenizers` raises; here it is cut to nothing.
    """
    import tensorflow as tf

    if len(lengths) == 1:
        return [tf.minimum(lengths[0], room)]
    first, second = lengths
    over = tf.maximum(first + second - room, 0)
    if strategy == "only_first":
        return [tf.maximum(first - over, 0), second]
    if strategy == "only_second":
        return [first, tf.maximum(second - over, 0)]
    short, long = tf.minimum(first, second), tf.maximum(first, second)
    kept = tf.where(short > room, short, tf.maximum(short, room - short))
    both = short + kept > room
    short, kept = tf.where(both, room // 2, short), tf.where(both, room // 2 + room % 2, kept)
    fits = over == 0
    short, kept = tf.where(fits, tf.minimum(first, second), short), tf.where(fits, long, kept)
    second_longer = second >= first
    return [tf.where(second_longer, short, kept), tf.where(second_longer, kept, short)]


def assemble(
    texts: Sequence[Any],
    template: Template,
    *,
    max_length: int,
    strategy: str,
    pad_id: int,
    pad_type: int,
    multiple: int,
) -> dict[str, Tensor]:
    """texts: one or two RaggedTensors of ids [B, (n)]. Returns int32 input_ids, attention_mask, token_type_ids [B, S].

    S is the longest row, rounded up to `multiple`. Raises InvalidInput for an unknown strategy or too little room.
    """
    import tensorflow as tf

    if strategy not in STRATEGIES:
        raise InvalidInput(f"expected a truncation of {', '.join(STRATEGIES)}; got {strategy!r}")
    specials = [piece.special for piece in template if piece.special is not None]
    if max_length < len(specials):
        raise InvalidInput(f"expected a max_length of at least {len(specials)}, the special tokens; got {max_length}")
    lengths = [tf.cast(text.row_lengths(), tf.int32) for text in texts]
    kept = dict(zip("AB", truncated(lengths, max_length - len(specials), strategy), strict=False))
    total = tf.add_n([*kept.values()]) + len(specials)
    width = -(-tf.reduce_max(tf.concat([total, [1]], 0)) // multiple) * multiple
    place = tf.range(width)[None, :]
    # One vector of values: padding, specials, then each text's ids; a row is a walk over it.
    values = tf.concat([[pad_id], specials, *(tf.cast(text.values, tf.int32) for text in texts)], 0)
    origin = dict(zip("AB", _origins(texts, 1 + len(specials)), strict=False))
    index = tf.zeros([tf.shape(total)[0], width], tf.int32)
    types = tf.fill(tf.shape(index), pad_type)
    start, special = tf.zeros_like(total), 0
    for piece in template:
        is_special = piece.special is not None
        special += is_special
        count = tf.ones_like(start) if is_special else kept[piece.sequence]
        inside = (place >= start[:, None]) & (place < (start + count)[:, None])
        source = special if is_special else (origin[piece.sequence] - start)[:, None] + place
        index = tf.where(inside, source, index)
        if piece.type_id != pad_type:
            types = tf.where(inside, piece.type_id, types)
        start += count
    mask = tf.cast(place < total[:, None], tf.int32)
    return {"input_ids": tf.gather(values, index), "attention_mask": mask, "token_type_ids": types}


def _origins(texts: Sequence[Any], offset: int) -> list[Tensor]:
    """Where each row's ids begin among the values, int32 [B] for every text."""
    import tensorflow as tf

    found = []
    for text in texts:
        found.append(tf.cast(text.row_splits[:-1], tf.int32) + offset)
        offset = offset + tf.size(text.values)
    return found
