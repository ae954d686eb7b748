"""Named tensors -> answers: the one way through embeddings, encoder and head that every class shares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext  # nothing public says it

from flowformers.errors import InvalidInput
from flowformers.heads import HeadSpec
from flowformers.models.bodies import Tensors, through
from flowformers.nn.encoder import Encoder
from flowformers.nn.packing import Layout, Packed, everything, real_tokens
from flowformers.prepared import prepared
from flowformers.types import Tensor


@dataclass(frozen=True)
class Request:
    """How to run: collect every layer's states and weights, in training, with a loss that sees padded positions.

    dtype: the TensorFlow dtype of embeddings and head, the model's compute dtype.
    """

    collect: bool
    training: bool
    labelled: bool
    dtype: Any


def run(encoder: Encoder, head: Any, spec: HeadSpec, tensors: Tensors, request: Request) -> dict[str, Any]:
    """The head's answers, then hidden_states (L + 1 of [B, S, H]) and attentions (L of [B, N, S, S]) if collected."""
    _check(tensors, spec)

    def body(given: Tensors, *, dense: bool = False) -> dict[str, Any]:
        return _answers(encoder, head, spec, given, request, dense=dense)

    key = (encoder, head, encoder.precision, request)
    return through(key, body, tensors, encoder.spec.max_length)


def _answers(
    encoder: Encoder, head: Any, spec: HeadSpec, tensors: Tensors, request: Request, *, dense: bool
) -> dict[str, Any]:
    held = {name: _held(value) for name, value in tensors.items()}
    flat, choices = _flatten_choices(held) if spec.choices else (held, None)
    dense |= request.collect or (spec.couples_positions and (request.training or request.labelled))
    batch, length = _sizes(flat)
    mask = flat.get("attention_mask")
    packed = _packed(mask, batch, length, dense=dense)
    embedded = _embed(encoder, flat, packed.layout, request)
    biases = [encoder.bias(mask, bucket) for bucket in packed.buckets]
    encoded = encoder.run(embedded, packed, biases, collect=request.collect, training=request.training)
    answers: dict[str, Any] = head.answer(encoded, encoder, training=request.training)
    if choices is not None:
        answers = {name: tf.reshape(value, tf.stack([-1, choices])) for name, value in answers.items()}
    if request.collect:
        answers |= {"hidden_states": encoded.hidden_states, "attentions": encoded.attentions}
    return answers


def _held(tensor: Tensor) -> Tensor:
    """The tensor; in a graph, an error at run time for a shape that it was not traced for.

    A SavedModel feeds whatever a client sends, and packing would flatten another rank without a word.
    """
    return tensor if tf.executing_eagerly() else tf.ensure_shape(tensor, tensor.shape)


def _source(tensors: Tensors) -> tuple[str, Tensor]:
    present = [name for name in ("input_ids", "inputs_embeds") if name in tensors]
    if len(present) != 1:
        raise InvalidInput(f"expected either input_ids or inputs_embeds; got {' and '.join(present) or 'neither'}")
    return present[0], tensors[present[0]]


def _check(tensors: Tensors, spec: HeadSpec) -> None:
    """Ranks, and that masks and types have the shape of the ids. Raises InvalidInput while the graph is traced."""
    name, source = _source(tensors)
    rank = (3 if spec.choices else 2) + (name == "inputs_embeds")
    axes = ["batch", *(["choices"] if spec.choices else []), "sequence", *(["hidden"] if name != "input_ids" else [])]
    if source.shape.rank != rank:
        raise InvalidInput(f"expected {name} of shape [{', '.join(axes)}]; got shape {source.shape}")
    sequence = source.shape[: rank - 1] if name == "inputs_embeds" else source.shape
    for other in ("attention_mask", "token_type_ids"):
        if other in tensors and not _fits(tensors[other], sequence, other):
            raise InvalidInput(f"expected {other} of the shape of {name}, {sequence}; got {tensors[other].shape}")


def _fits(tensor: Tensor, sequence: Any, name: str) -> bool:
    if name == "attention_mask" and tensor.shape.rank == len(sequence) + 1:  # one row of keys for each query
        return True
    return bool(tensor.shape.rank == len(sequence) and tensor.shape.is_compatible_with(sequence))


def _flatten_choices(tensors: Tensors) -> tuple[dict[str, Tensor], Tensor]:
    _, source = _source(tensors)
    flat = {}
    for name, value in tensors.items():
        shape = tf.shape(value)
        flat[name] = tf.ensure_shape(
            tf.reshape(value, tf.concat([[shape[0] * shape[1]], shape[2:]], 0)), [None, *value.shape[2:]]
        )
    return flat, tf.shape(source)[1]


def _sizes(tensors: Tensors) -> tuple[Tensor | int, Tensor | int]:
    """B and S; numbers where they are known, so that eager mode runs no op for a shape."""
    source = _source(tensors)[1]
    batch, length = source.shape[0], source.shape[1]
    if batch is None or length is None:
        dynamic = tf.shape(source)
        batch, length = (dynamic[i] if size is None else size for i, size in enumerate((batch, length)))
    return batch, length


def _packed(mask: Tensor | None, batch: Tensor | int, length: Tensor | int, *, dense: bool) -> Packed:
    # XLA knows no number of tokens that depends on the mask's values: padding is computed there.
    if mask is None or dense or mask.shape.rank != 2 or _compiled_by_xla():
        return everything(batch, length)
    # A mask of another shape would pick wrong tokens without a word.
    checked = tf.debugging.assert_equal(
        tf.shape(mask), [batch, length], message="attention_mask must have the shape of input_ids"
    )
    with tf.control_dependencies([checked] if checked is not None else []):
        store = prepared()  # in an export it is a choice, as it costs a request of one row some ops
        return real_tokens(tf.identity(mask), batch, length, by_length=store is None or store.form.by_length)


def _compiled_by_xla() -> bool:
    """Whether what is being traced is for jit_compile=True."""
    return GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())  # type: ignore[no-any-return]


def _embed(encoder: Encoder, tensors: Tensors, layout: Layout, request: Request) -> Tensor:
    """Returns float [T, H]."""
    ids, types = tensors.get("input_ids"), tensors.get("token_type_ids")
    if ids is not None:
        table = encoder.embeddings.word_embeddings
        words = table.look_up(table.checked(layout.pack(ids), "input_ids"), training=request.training)
    else:
        width, wanted = tensors["inputs_embeds"].shape[-1], encoder.spec.embedding_size
        if width != wanted:
            raise InvalidInput(f"expected inputs_embeds of width {wanted}, the embeddings' own; got {width}")
        words = tf.reshape(layout.pack(tensors["inputs_embeds"]), [-1, width])
    packed_types = None if types is None else layout.pack(types)
    positions = layout.pack(_positions(encoder, tensors, layout))
    words = tf.cast(words, request.dtype)
    return encoder.embeddings.apply(words, positions, packed_types, training=request.training)


def _positions(encoder: Encoder, tensors: Tensors, layout: Layout) -> Tensor:
    """Returns int32 [B, S]. Raises where the sequence is longer than the position table."""
    given = tensors.get("position_ids")
    if given is not None:
        checked = encoder.embeddings.position_embeddings.checked(given, "position_ids")
        return tf.broadcast_to(checked, [layout.batch, layout.length])
    length = within(layout.length, encoder.spec.max_length)
    return encoder.spec.positions.ids(tensors.get("input_ids"), layout.batch, length)


def within(length: Tensor | int, limit: int) -> Tensor | int:
    """The length itself. Raises where it is longer than the position table, in eager mode, tracing or at run time."""
    message = f"the sequence is longer than the model's limit of {limit} tokens; truncate it (max_length={limit})"
    if isinstance(length, int):
        if length > limit:
            raise InvalidInput(f"{message}; got {length}")
        return length
    with tf.control_dependencies([tf.debugging.assert_less_equal(length, limit, message=message)]):
        return tf.identity(length)


def without_states(answers: Mapping[str, Any], *, hidden_states: bool, attentions: bool) -> dict[str, Any]:
    """The answers without what was collected but not asked for."""
    keep = {"hidden_states": hidden_states, "attentions": attentions}
    return {name: value for name, value in answers.items() if keep.get(name, True)}
