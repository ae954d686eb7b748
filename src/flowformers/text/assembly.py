"""Tokens of one or two texts -> the padded batch a model takes, as `tokenizers` truncates, joins and pads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from flowformers.errors import InvalidInput
from flowformers.text.tokens import Tokens
from flowformers.types import Tensor

STRATEGIES = ("longest_first", "only_first", "only_second", "do_not_truncate")
CUT = {"only_first": 0, "only_second": 1}


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
        if len(useful) > 1:
            kinds = ", ".join(one["type"] for one in useful)
            raise InvalidInput(f"expected one post_processor with a graph form in tokenizer.json; got {kinds}")
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

    if strategy == "do_not_truncate":
        return [*lengths]
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


@dataclass(frozen=True)
class Part:
    """What a row takes of one text: `count` tokens from the one numbered `first` among all texts'. int32 [rows]."""

    first: Tensor
    count: Tensor


def whole(lengths: Sequence[Tensor], room: int, strategy: str) -> list[Part]:
    """One row for each text or pair, cut to `room` tokens besides the special ones. lengths: int [B], one or two.

    Raises InvalidInput for an unknown strategy.
    """
    _check_strategy(strategy)
    counts = truncated(lengths, room, strategy)
    return [Part(_firsts(length), count) for length, count in zip(lengths, counts, strict=True)]


def windows(lengths: Sequence[Tensor], room: int, strategy: str, stride: int) -> tuple[list[Part], Tensor]:
    """Rows that overlap by `stride` tokens where a text is too long, and the text or pair of each row, int32 [rows].

    The rows are those of `tokenizers` with return_overflowing_tokens; of a pair, only_first or only_second says which
    text is cut into windows. The other one is shortened where less than stride + 1 tokens of a longer text would be
    left (`tokenizers` raises). Raises InvalidInput for a stride without room or another strategy.
    """
    import tensorflow as tf

    if not 0 <= stride < room:
        raise InvalidInput(f"expected a stride of 0 to {room - 1}, less than the tokens of a window; got {stride}")
    if len(lengths) == 2 and strategy not in CUT:
        raise InvalidInput(f"expected a truncation of {' or '.join(CUT)} for windows of pairs; got {strategy!r}")
    cut = CUT[strategy] if len(lengths) == 2 else 0
    length = lengths[cut]
    limit = tf.where(tf.add_n([*lengths]) > room, room - stride - 1, room)
    others = {i: tf.minimum(other, limit) for i, other in enumerate(lengths) if i != cut}
    size = room - sum(others.values()) + tf.zeros_like(length)
    step = tf.maximum(size - stride, 1)  # of texts that fit, it doesn't matter
    example, number = _numbered(1 + -(-tf.maximum(length - size, 0) // step))
    skipped = number * tf.gather(step, example)
    firsts = [tf.gather(_firsts(one), example) for one in lengths]
    kept = tf.minimum(tf.gather(size, example), tf.gather(length, example) - skipped)
    parts = {i: Part(firsts[i], tf.gather(other, example)) for i, other in others.items()}
    parts[cut] = Part(firsts[cut] + skipped, kept)
    return [parts[i] for i in range(len(lengths))], example


def _firsts(lengths: Tensor) -> Tensor:
    import tensorflow as tf

    return tf.cumsum(lengths, exclusive=True)


def _numbered(counts: Tensor) -> tuple[Tensor, Tensor]:
    """counts [3, 1] -> owners [0, 0, 0, 1] and numbers within [0, 1, 2, 0]."""
    import tensorflow as tf

    owner = tf.repeat(tf.range(tf.size(counts)), counts)
    return owner, tf.range(tf.size(owner)) - tf.gather(_firsts(counts), owner)


@dataclass(frozen=True)
class Rows:
    """A padded batch: what stands at each place. All int32 [rows, S].

    index: 0 for padding, then the template's special tokens from 1, then the tokens of all texts; types: token types;
    sequence: 0 or 1 for tokens of the first or second text, -1 for special tokens and padding; mask: 0 at padding.
    """

    index: Tensor
    types: Tensor
    sequence: Tensor
    mask: Tensor

    def fill(self, values: Sequence[Tensor], specials: Sequence[int], padding: int) -> Tensor:
        """values: one vector for each text. Returns int32 [rows, S]."""
        import tensorflow as tf

        parts = [tf.constant([padding, *specials]), *(tf.cast(one, tf.int32) for one in values)]
        return tf.gather(tf.concat(parts, 0), self.index)


def place(
    template: Template, parts: Sequence[Part], sizes: Sequence[Tensor], width: Callable[[Tensor], Tensor]
) -> Rows:
    """Walk along the template. sizes: how many tokens each text's vector has. width: from lengths [rows] to S."""
    import tensorflow as tf

    special = sum(piece.special is not None for piece in template)
    origins = [part.first + offset for part, offset in zip(parts, _offsets(sizes, 1 + special), strict=True)]
    total = tf.add_n([part.count for part in parts]) + special
    column = tf.range(width(total))[None, :]
    zeros = tf.zeros([tf.size(total), tf.size(column)], tf.int32)
    index, types, sequence = zeros, zeros, zeros - 1
    start, special = tf.zeros_like(total), 0
    for piece in template:
        number = "AB".find(piece.sequence) if piece.special is None else -1
        special += number < 0
        count = tf.ones_like(start) if number < 0 else parts[number].count
        inside = (column >= start[:, None]) & (column < (start + count)[:, None])
        source = special if number < 0 else (origins[number] - start)[:, None] + column
        index = tf.where(inside, source, index)
        if piece.type_id:
            types = tf.where(inside, piece.type_id, types)
        if number >= 0:
            sequence = tf.where(inside, number, sequence)
        start += count
    return Rows(index, types, sequence, tf.cast(column < total[:, None], tf.int32))


def _offsets(sizes: Sequence[Tensor], first: int) -> list[Tensor]:
    return [first + sum(sizes[:number]) for number in range(len(sizes))]


def special_ids(template: Template) -> list[int]:
    """The special tokens that a template adds."""
    return [piece.special for piece in template if piece.special is not None]


def _check_strategy(strategy: str) -> None:
    if strategy not in STRATEGIES:
        raise InvalidInput(f"expected a truncation of {', '.join(STRATEGIES)}; got {strategy!r}")


@dataclass(frozen=True)
class Fit:
    """How rows are made to fit. strategy: of truncation, to max_length with special tokens; stride: tokens that
    windows share, None for no windows; width: from the rows' lengths to that of the batch."""

    strategy: str
    max_length: int
    stride: int | None
    width: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Encoded:
    """A padded batch. int32 [rows, S] but for `example`, int32 [rows]: the text or pair that a row is a window of.

    sequence_ids: 0 or 1 for tokens of the first or second text, -1 for special tokens and padding. start, end,
    word_ids: see Tokens; 0 (word_ids -1) at special tokens and padding, None where no offsets were asked for.
    """

    input_ids: Tensor
    attention_mask: Tensor
    token_type_ids: Tensor
    sequence_ids: Tensor
    start: Tensor
    end: Tensor
    word_ids: Tensor
    example: Tensor


def assemble(texts: Sequence[Tokens], template: Template, fit: Fit, pad_id: int) -> Encoded:
    """Cut, join and pad. texts: one or two. Raises InvalidInput, see whole() and windows()."""
    import tensorflow as tf

    specials = special_ids(template)
    room = fit.max_length - len(specials)
    lengths = [tf.cast(text.ids.row_lengths(), tf.int32) for text in texts]
    if fit.stride is None or fit.strategy == "do_not_truncate":
        parts, example = whole(lengths, room, fit.strategy), tf.range(tf.size(lengths[0]))
    else:
        parts, example = windows(lengths, room, fit.strategy, fit.stride)
    rows = place(template, parts, [tf.size(text.ids.values) for text in texts], fit.width)
    nothing = [0] * len(specials)

    def fill(name: str, padding: int) -> Tensor:
        values = [getattr(text, name) for text in texts]
        return None if values[0] is None else rows.fill([one.values for one in values], nothing, padding)

    ids = rows.fill([text.ids.values for text in texts], specials, pad_id)
    start, end, words = fill("start", 0), fill("end", 0), fill("word", 0)
    words = None if words is None else tf.where(rows.sequence < 0, -1, words)
    return Encoded(ids, rows.mask, rows.types, rows.sequence, start, end, words, example)


def stitched(batches: Sequence[Encoded], rows: Sequence[Tensor], pad_id: int) -> Encoded:
    """Batches without windows as one. rows: int32 [rows of that batch], the place of each in the whole."""
    import tensorflow as tf

    longest = tf.reduce_max([tf.shape(batch.input_ids)[1] for batch in batches])
    padding = {"input_ids": pad_id, "sequence_ids": -1, "word_ids": -1}

    def whole(name: str) -> Tensor:
        parts = [getattr(batch, name) for batch in batches]
        if name == "example":
            return tf.range(tf.add_n([tf.size(part) for part in parts]))
        if parts[0] is None:
            return None
        wide = [tf.pad(x, [[0, 0], [0, longest - tf.shape(x)[1]]], constant_values=padding.get(name, 0)) for x in parts]
        return tf.ensure_shape(tf.dynamic_stitch([*rows], wide), [None, None])

    return Encoded(**{field.name: whole(field.name) for field in fields(Encoded)})
