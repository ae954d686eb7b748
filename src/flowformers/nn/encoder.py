"""The one encoder: embeddings and post-norm transformer blocks (Vaswani et al. 2017, Devlin et al. 2018).

Arithmetic follows the PyTorch models of transformers (modeling_bert.py and kin): scores scaled by 1/sqrt(D), masked by
the dtype's own minimum, softmax in float32, layer norm after each residual.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import tensorflow as tf

from flowformers.errors import ConfigError, InvalidInput
from flowformers.nn.activations import activation
from flowformers.nn.packing import Bucket, Layout, Packed
from flowformers.nn.parts import Dense, Group, LayerNorm, Table, normal
from flowformers.nn.positions import Absolute, AfterPad
from flowformers.nn.precision import HALF, Products, products
from flowformers.nn.recomputing import dropout, recomputed
from flowformers.nn.relative import RelativeBuckets
from flowformers.nn.sharing import Shared
from flowformers.types import Tensor

Biases = Sequence[Tensor | None]  # for each bucket


@dataclass(frozen=True)
class EncoderSpec:
    """The numbers that make an encoder, all read from config.json by a family.

    embedding_size differs from hidden_size only where a projection stands between them (ELECTRA). type_vocab_size 0:
    no token types. pad_id: the word that look-ups do not train, or None.
    """

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    hidden_act: str
    layer_norm_eps: float
    hidden_dropout: float
    attention_dropout: float
    initializer_range: float
    position_table: int
    type_vocab_size: int
    embedding_size: int
    positions: Absolute | AfterPad
    pad_id: int | None = None
    attention_bias: RelativeBuckets | None = None
    causal: bool = False

    def __post_init__(self) -> None:
        for name in ("vocab_size", "hidden_size", "num_attention_heads", "intermediate_size", "embedding_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"expected {name} of at least 1; got {getattr(self, name)} in config.json")
        if self.hidden_size % self.num_attention_heads:
            raise ConfigError(
                f"expected hidden_size divisible by num_attention_heads; got {self.hidden_size} and "
                f"{self.num_attention_heads} in config.json"
            )

    @property
    def max_length(self) -> int:
        """The longest sequence, in tokens."""
        return self.position_table - self.positions.reserved


class Embeddings(Group):
    """Word + position + token type, layer norm, dropout, and ELECTRA's projection. Works on packed tokens."""

    def __init__(self, spec: EncoderSpec) -> None:
        super().__init__()
        start, width = normal(spec.initializer_range), spec.embedding_size
        self.word_embeddings = Table(spec.vocab_size, width, initializer=start, pad_row=spec.pad_id)
        if spec.type_vocab_size:
            self.token_type_embeddings = Table(spec.type_vocab_size, width, initializer=start)
        pad_row = spec.positions.pad_row
        self.position_embeddings = Table(spec.position_table, width, initializer=start, pad_row=pad_row)
        self.layer_norm = LayerNorm(width, epsilon=spec.layer_norm_eps)
        if width != spec.hidden_size:
            self.projection = Dense(width, spec.hidden_size, initializer=start)
        self._rate = spec.hidden_dropout

    def apply(self, words: Tensor, position_ids: Tensor, token_type_ids: Tensor | None, *, training: bool) -> Tensor:
        """words: float [T, E]; position_ids and token_type_ids: int [T]. Returns float [T, H]."""
        total = words
        if hasattr(self, "token_type_embeddings"):
            total = total + tf.cast(self._types(token_type_ids), total.dtype)
        total = total + tf.cast(self.position_embeddings.look_up(position_ids, training=training), total.dtype)
        hidden = dropout(self.layer_norm.apply(total), self._rate, training)
        return self.projection.apply(hidden) if hasattr(self, "projection") else hidden

    def _types(self, token_type_ids: Tensor | None) -> Tensor:
        if token_type_ids is None:  # all zeros: one row for every token, no gather
            return self.token_type_embeddings.read("embeddings")[:1]
        types = self.token_type_embeddings
        return types.look_up(types.checked(token_type_ids, "token_type_ids"))


class Attention(Group):
    """Multi-head self-attention with its residual layer norm."""

    def __init__(self, spec: EncoderSpec) -> None:
        super().__init__()
        start, width = normal(spec.initializer_range), spec.hidden_size
        self.query = Dense(width, width, initializer=start)
        self.key = Dense(width, width, initializer=start)
        self.value = Dense(width, width, initializer=start)
        self.output_dense = Dense(width, width, initializer=start)
        self.layer_norm = LayerNorm(width, epsilon=spec.layer_norm_eps)
        self._heads, self._width = spec.num_attention_heads, width // spec.num_attention_heads
        self._hidden_dropout, self._attention_dropout = spec.hidden_dropout, spec.attention_dropout

    def apply(
        self, hidden: Tensor, packed: Packed, biases: Biases, products: Products, *, training: bool
    ) -> tuple[Tensor, Tensor]:
        """hidden: [T, H]; biases: for each bucket what is added to its scores, broadcast to [b, N, s, s].

        Returns [T, H] and the weights of the first bucket, [b, N, s, s].
        """
        projected = self._projected(hidden, packed, products)
        found = [
            bucket.run(partial(self._attend, parts, bucket.layout, bias, training), like=hidden)
            for bucket, parts, bias in zip(packed.buckets, projected, biases, strict=True)
        ]
        contexts, weights = zip(*found, strict=True)
        mixed = products.apply([self.output_dense], packed.join(contexts))
        mixed = dropout(mixed, self._hidden_dropout, training)
        return self.layer_norm.apply(mixed + hidden), weights[0]

    def _attend(
        self, parts: Sequence[Tensor], layout: Layout, bias: Tensor | None, training: bool
    ) -> tuple[Tensor, Tensor]:
        """parts: of one bucket, see _projected. Returns [t, H] and the weights [b, N, s, s]."""
        query, key, value = self._spread(parts, layout)
        weights = self._softmax(tf.matmul(query, key, transpose_b=True), bias, training)
        return self._join(tf.matmul(weights, value), layout), weights

    def _projected(self, hidden: Tensor, packed: Packed, products: Products) -> Iterable[Sequence[Tensor]]:
        """For each bucket query, key and value, [t, H] each, or the three side by side, [t, 3 H]."""
        layers = (self.query, self.key, self.value)
        groups = [layers] if products.joins else [(layer,) for layer in layers]
        return zip(*(packed.split(products.apply(group, hidden)) for group in groups), strict=True)

    def _spread(self, parts: Sequence[Tensor], layout: Layout) -> Sequence[Tensor]:
        """Query, key and value, [b, N, s, D] each."""
        if len(parts) == 3:
            return [self._split(part, layout) for part in parts]
        three = layout.unpack(parts[0], 3, self._heads, self._width)
        return tf.unstack(tf.transpose(three, [2, 0, 3, 1, 4]))  # type: ignore[no-any-return]

    def _softmax(self, scores: Tensor, bias: Tensor | None, training: bool) -> Tensor:
        # float32: half precision loses the small end of the softmax on long sequences.
        # Scaled here and not before: product, scale and bias are one op to TensorFlow's graph optimiser.
        wide = tf.cast(scores, tf.float32) * (self._width**-0.5)
        weights = tf.nn.softmax(wide if bias is None else wide + bias)
        return tf.cast(dropout(weights, self._attention_dropout, training), scores.dtype)

    def _split(self, x: Tensor, layout: Layout) -> Tensor:
        """[T, H] -> [B, N, S, D]."""
        return tf.transpose(layout.unpack(x, self._heads, self._width), [0, 2, 1, 3])

    def _join(self, context: Tensor, layout: Layout) -> Tensor:
        """[B, N, S, D] -> [T, H]."""
        return layout.pack(tf.transpose(context, [0, 2, 1, 3]), self._heads * self._width)


class Block(Group):
    """One layer: attention, then the feed-forward network, each with a residual and a layer norm behind it."""

    def __init__(self, spec: EncoderSpec) -> None:
        super().__init__()
        start = normal(spec.initializer_range)
        self.attention = Attention(spec)
        self.intermediate = Dense(spec.hidden_size, spec.intermediate_size, initializer=start)
        self.output_dense = Dense(spec.intermediate_size, spec.hidden_size, initializer=start)
        self.layer_norm = LayerNorm(spec.hidden_size, epsilon=spec.layer_norm_eps)
        self._activation, self._rate = activation(spec.hidden_act), spec.hidden_dropout

    def apply(
        self, hidden: Tensor, packed: Packed, biases: Biases, products: Products, *, training: bool
    ) -> tuple[Tensor, Tensor]:
        """hidden: [T, H]. Returns [T, H] and the attention weights of the first bucket, [b, N, s, s]."""
        attended, weights = self.attention.apply(hidden, packed, biases, products, training=training)
        outer = products.feed_forward(self.intermediate, self.output_dense, attended, self._activation)
        outer = dropout(outer, self._rate, training)
        return self.layer_norm.apply(outer + attended), weights


class Pooler(Group):
    """tanh(dense(token 0)) (BERT)."""

    def __init__(self, spec: EncoderSpec) -> None:
        super().__init__()
        self.dense = Dense(spec.hidden_size, spec.hidden_size, initializer=normal(spec.initializer_range))

    def apply(self, first: Tensor) -> Tensor:
        """first: float [B, H], position 0 of every row. Returns float [B, H]."""
        return tf.tanh(self.dense.apply(first))


@dataclass(frozen=True)
class Encoded:
    """What the encoder hands to a head. hidden: [T, H]. collected states and weights only where they were asked for."""

    hidden: Tensor
    packed: Packed
    hidden_states: Sequence[Tensor]
    attentions: Sequence[Tensor]

    @property
    def layout(self) -> Layout:
        """Where the rows of `hidden` stand in the batch."""
        return self.packed.layout

    @property
    def first(self) -> Tensor:
        """Position 0 of every row, float [B, H]."""
        return tf.gather(self.hidden, self.packed.first)


class Encoder(Group):
    """Embeddings and blocks; with_pooler adds BERT's pooler, which belongs to the base model's weights."""

    def __init__(self, spec: EncoderSpec, *, with_pooler: bool) -> None:
        super().__init__()
        self.embeddings = Embeddings(spec)
        self.layer = [Block(spec) for _ in range(spec.num_hidden_layers)]
        if spec.attention_bias is not None:
            self.relative_attention_bias = spec.attention_bias.table(spec.num_attention_heads, spec.initializer_range)
        if with_pooler:
            self.pooler = Pooler(spec)
        self._spec = spec
        self.precision = "fp32"
        self.gradient_checkpointing = False

    @property
    def spec(self) -> EncoderSpec:
        """The numbers this encoder was made from."""
        return self._spec

    @property
    def precision(self) -> str:
        """One of PRECISIONS: how the blocks are run. Embeddings and heads keep the dtype they have."""
        return self._precision

    @precision.setter
    def precision(self, name: str) -> None:
        self._products, self._precision = products(name), name
        self._shared: Shared | None = None

    def run(self, embedded: Tensor, packed: Packed, biases: Biases, *, collect: bool, training: bool) -> Encoded:
        """embedded: [T, H]. collect keeps every layer's states [B, S, H] and weights [B, N, S, S], of one bucket."""
        if training and self._precision == "int8":
            raise InvalidInput("a model of precision int8 can't be trained: load it with precision='fp32' or 'bf16'")
        hidden, states, attentions = tf.cast(embedded, HALF.get(self._precision, embedded.dtype)), [], []
        layout = packed.layout
        for block in self.layer:
            if collect:
                states.append(tf.cast(layout.unpack(hidden), embedded.dtype))
            if training and self.gradient_checkpointing and not collect:
                hidden = self._recomputed(block, hidden, packed, biases)
                continue
            hidden, weights = self._one(block, hidden, packed, biases, training=training)
            if collect:
                attentions.append(tf.cast(weights, embedded.dtype))
        hidden = tf.cast(hidden, embedded.dtype)
        if collect:
            states.append(layout.unpack(hidden))
        return Encoded(hidden, packed, tuple(states), tuple(attentions))

    def _one(
        self, block: Block, hidden: Tensor, packed: Packed, biases: Biases, *, training: bool
    ) -> tuple[Tensor, Tensor]:
        """See Block.apply."""
        op_by_op = training or not tf.executing_eagerly() or tf.config.functions_run_eagerly()
        if not op_by_op and self._products.shareable:
            if self._shared is None:
                self._shared = Shared(block, partial(_answer, products=self._products))
            found = self._shared.apply(block, hidden, packed, biases)
            if found is not None:
                return found
        return block.apply(hidden, packed, biases, self._products, training=training)

    def _recomputed(self, block: Block, hidden: Tensor, packed: Packed, biases: Biases) -> Tensor:
        def body(hidden: Tensor, *given: Tensor) -> Tensor:
            return block.apply(hidden, packed, given or biases, self._products, training=True)[0]

        return recomputed(body, hidden, *(bias for bias in biases if bias is not None))

    def bias(self, mask: Tensor | None, bucket: Bucket) -> Tensor | None:
        """What is added to a bucket's scores, see score_bias, with MPNet's relative bias. mask: of the batch."""
        length, shown = bucket.layout.length, None if mask is None else bucket.of(mask)
        hidden = score_bias(shown, self._spec.causal, length)
        if self._spec.attention_bias is None:
            return hidden
        relative = self._spec.attention_bias.bias(self.relative_attention_bias, length)
        return relative if hidden is None else hidden + relative


def _answer(block: Block, hidden: Tensor, packed: Packed, biases: Biases, products: Products) -> tuple[Tensor, Tensor]:
    """Block.apply, or what a class below it has instead, outside of training."""
    return block.apply(hidden, packed, biases, products, training=False)


def score_bias(mask: Tensor | None, causal: bool, length: Tensor | int) -> Tensor | None:
    """What is added to the scores: 0 where a key may be seen, float32's minimum where not.

    mask: 0/1 [B, S], or [B, S, S] with one row of keys for each query, or None. Returns a shape that broadcasts to
    [B, N, S, S], or None when nothing is hidden.
    """
    seen: Any = None
    if mask is not None:
        keys = tf.not_equal(mask, 0)
        seen = keys[:, None, None, :] if len(keys.shape) == 2 else keys[:, None, :, :]
    if causal:
        positions = tf.range(length)
        past = (positions[None, :] <= positions[:, None])[None, None]
        seen = past if seen is None else tf.logical_and(seen, past)
    return None if seen is None else tf.where(seen, 0.0, tf.float32.min)
