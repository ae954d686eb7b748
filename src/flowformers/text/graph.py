"""TFTokenizer: text -> ids as TensorFlow ops, in a SavedModel, in tf.data, or called directly."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from flowformers.errors import InvalidInput
from flowformers.prepared import prepared
from flowformers.text.assembly import Encoded, Fit, assemble, special_ids, templates
from flowformers.text.auto import AutoTokenizer
from flowformers.text.bytelevel import ByteLevelBPE
from flowformers.text.decoding import Decoder, clean_up, decoder_of
from flowformers.text.specials import valid_utf8
from flowformers.text.tokens import Algorithm, Tokens
from flowformers.text.unigram import Unigram
from flowformers.text.wordpiece import WordPiece
from flowformers.types import Tensor

# One string for every rule that other implementations get wrong.
SAMPLES = (
    "", "I love it.", "…", "Straße İstanbul ﬁne ²", "a\u00a0b\u200bc\u00ad d\ue000e\ufffdf",
    "ไ" * 60, "a" * 100, "a" * 101, "[SEP]x [MASK][CLS]<mask> <s></s>[UNK]", "\n\n x\t\r y ",
    "don't ''s 's", "nul\0nul", "caf\u0065\u0301 e\u0301\u0327", "\u2e4f\u061d",
    "a\n\nb  c \u00a0d'll'sx ''re I'VE", "<mask>é \u0345<mask> \t <mask>½1st١ ",
    "éééééé.... ]]]] LLLLLL", "Ａ\u0301e\u0301 \u0600e\u0301\u2581a\u2581\u2581b \u3000 ", "  <s> x </s>",
    "東京 한국어 😀👩\u200d👩 עברית", "１２３ ｆｕｌｌ", "antidisestablishmentarianism " * 3,
)  # fmt: skip
UNLIMITED = 2**31 - 1  # what int32 holds
MODEL_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
ALGORITHMS: dict[str, Callable[[Mapping[str, Any]], Algorithm]] = {
    "BPE": ByteLevelBPE,
    "Unigram": Unigram,
    "WordPiece": WordPiece,
}


class TFTokenizer:
    """A tokenizer with exactly the ids of the `tokenizers` library, made of ops that TensorFlow Serving has.

    Raises InvalidInput that names whatever a tokenizer.json asks for and has no exact graph form here.
    """

    def __init__(self, tokenizer: Any, *, max_length: int | None = None) -> None:
        """tokenizer: what AutoTokenizer gives, with the tokens added to it so far. max_length: in tokens, where the
        tokenizer's own limit is larger."""
        self._reference, self._added = tokenizer, tokenizer.added_tokens_encoder
        settings = json.loads(tokenizer.backend_tokenizer.to_str())
        kind = (settings.get("model") or {}).get("type")
        if kind not in ALGORITHMS:
            raise InvalidInput(f"expected a model of {', '.join(ALGORITHMS)} in tokenizer.json; got {kind}")
        if tokenizer.padding_side != "right" or tokenizer.truncation_side != "right":
            raise InvalidInput("expected padding_side and truncation_side right; left has no graph form here")
        if tokenizer.pad_token_id is None:
            raise InvalidInput("expected a pad_token in tokenizer_config.json that is in the vocabulary; there is none")
        self._single, self._pair = templates(settings.get("post_processor"))
        self.pad_id = int(tokenizer.pad_token_id)
        self.max_length = min(tokenizer.model_max_length, max_length or tokenizer.model_max_length)
        self.model_input_names = tuple(tokenizer.model_input_names)
        self._settings = settings
        self._algorithm = ALGORITHMS[kind](settings)
        self._shared: dict[str, Any] = {}

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path, *, max_length: int | None = None, **hub: Any) -> Self:
        """From a checkpoint folder or Hub id."""
        return cls(AutoTokenizer.from_pretrained(name_or_path, **hub), max_length=max_length)

    def limited(self, max_length: int) -> Self:
        """The same with a smaller max_length, if it is smaller; tables and functions are shared."""
        other = copy(self)
        other.max_length = min(self.max_length, max_length)
        return other

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the files of the tokenizer that this was made from."""
        self._reference.save_pretrained(folder)

    @cached_property
    def vocabulary(self) -> list[str]:
        """Every token by its id, added ones included; "" where an id has none."""
        held = self._reference.get_vocab()
        tokens = [""] * (max(held.values()) + 1)
        for token, index in held.items():
            tokens[index] = token
        return tokens

    @cached_property
    def decoder(self) -> Decoder:
        """What joins tokens to text. Raises InvalidInput where tokenizer.json asks for one without a graph form."""
        return decoder_of(self._settings.get("decoder"))

    def cleaned(self, text: Tensor) -> Tensor:
        """text: string [n], what the decoder made. Without spaces before punctuation, where the tokenizer's settings
        say so; as in transformers 5 not with BPE, whose spaces belong to the text."""
        asked = self._reference.clean_up_tokenization_spaces and self._settings["model"]["type"] != "BPE"
        return clean_up(text) if asked else text

    @property
    def marks_continuation(self) -> bool:
        """Whether tokens that go on with a word have a prefix."""
        return bool(self._settings["model"].get("continuing_subword_prefix"))

    @property
    def special_ids(self) -> list[int]:
        """The special tokens, which decoding may leave out."""
        return [int(token["id"]) for token in self._settings.get("added_tokens") or () if token["special"]]

    def id_of(self, name: str) -> int:
        """The id of mask_token, cls_token, unk_token, ...; -1 where the tokenizer has none."""
        found = getattr(self._reference, f"{name}_id")
        return -1 if found is None else int(found)

    def characters(self, text: Tensor) -> Tensor:
        """text: string [n]. The characters that offsets count: invalid bytes replaced."""
        return valid_utf8(text)

    def ids(self, text: Tensor) -> Any:
        """text: string [n]. Returns ragged int64 ids [n, (tokens)] without special tokens."""
        values, splits = self._call("ids", lambda text: _flat(self._algorithm(text)), text)
        return _ragged(values, splits)

    def with_offsets(self, text: Tensor) -> Tokens:
        """text: string [n]. Returns the tokens without special tokens, with the part of the text each comes from."""

        def flat(text: Tensor) -> tuple[Tensor, ...]:
            found = self._algorithm.with_offsets(text)
            return found.ids.row_splits, *(part.values for part in found)

        splits, *parts = self._call("offsets", flat, text)
        return Tokens(*(_ragged(part, splits) for part in parts))

    def _call(self, name: str, body: Callable[[Tensor], Any], text: Tensor) -> Any:
        """The body on the CPU, as one function that all calls share: one copy of its tables in a SavedModel."""
        import tensorflow as tf

        def on_cpu(text: Tensor) -> Any:
            with tf.device("/CPU:0"):
                return body(text)

        def make() -> Any:
            return tf.function(on_cpu, input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)

        store = prepared()  # where there is one, tables are its variables, and what it keeps keeps self alive, too
        if store is not None:
            return store.once((id(self._shared), name), make)(text)
        if name not in self._shared:
            self._shared[name] = make()
        return self._shared[name](text)

    def __call__(
        self,
        text: Any,
        text_pair: Any = None,
        *,
        padding: bool | str = True,
        truncation: bool | str = True,
        max_length: int | None = None,
        stride: int = 0,
        pad_to_multiple_of: int = 1,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
    ) -> dict[str, Tensor]:
        """text, text_pair: strings [B] (tensor, list, or one str). Returns the model's inputs, int32 [B, S].

        truncation: True or "longest_first", "only_first", "only_second", to max_length tokens (at most the tokenizer's
        own limit); False or "do_not_truncate". padding: True or "longest", or "max_length"; S is then rounded up to
        pad_to_multiple_of. return_overflowing_tokens: B becomes the number of windows, which share `stride` tokens
        with the next, and overflow_to_sample_mapping, int32 [B], tells each one's text. return_special_tokens_mask:
        special_tokens_mask, 1 at special tokens and padding. return_offsets_mapping: offset_mapping, int32 [B, S, 2].
        Raises InvalidInput that names what can't be used.
        """
        import tensorflow as tf

        found = self.encode(
            [_strings(x) for x in (text, text_pair) if x is not None],
            padding=padding,
            truncation=truncation,
            max_length=max_length,
            stride=stride if return_overflowing_tokens else None,
            pad_to_multiple_of=pad_to_multiple_of,
            offsets=return_offsets_mapping,
        )
        names = [name for name in self.model_input_names if name in MODEL_INPUTS]
        batch = {name: tf.ensure_shape(getattr(found, name), [None, None]) for name in names}
        if return_special_tokens_mask:
            batch["special_tokens_mask"] = tf.cast(found.sequence_ids < 0, tf.int32)
        if return_offsets_mapping:
            batch["offset_mapping"] = tf.stack([found.start, found.end], axis=-1)
        if return_overflowing_tokens:
            batch["overflow_to_sample_mapping"] = found.example
        return batch

    def encode(
        self,
        texts: Sequence[Tensor],
        *,
        padding: bool | str = True,
        truncation: bool | str = True,
        max_length: int | None = None,
        stride: int | None = None,
        pad_to_multiple_of: int = 1,
        offsets: bool = False,
    ) -> Encoded:
        """One or two string tensors [n] -> rows, as __call__. A stride asks for windows, offsets for start and end."""
        self._check_added()
        strategy = _strategy(truncation)
        limit = min(max_length or self.max_length, self.max_length, UNLIMITED)
        template = self._single if len(texts) == 1 else self._pair
        specials = special_ids(template)
        if limit < len(specials):
            raise InvalidInput(f"expected a max_length of at least {len(specials)}, the special tokens; got {limit}")
        tokens = [self.with_offsets(one) if offsets else Tokens(self.ids(one), None, None, None) for one in texts]
        return assemble(
            tokens, template, Fit(strategy, limit, stride, _width(padding, limit, pad_to_multiple_of)), self.pad_id
        )

    def _check_added(self) -> None:
        later = [token for token in self._reference.added_tokens_encoder if token not in self._added]
        if later:
            raise InvalidInput(
                f"{', '.join(map(repr, later))} came to the tokenizer after this TFTokenizer was made from it; "
                "make a new TFTokenizer, which knows all added tokens"
            )

    def check(self, texts: Sequence[str] = SAMPLES) -> None:
        """Compare with the library, alone and in pairs. Raises InvalidInput that shows the first difference."""
        pairs = [*texts[1:], *texts[:1]]
        for second in (None, pairs):
            expected = self._reference(
                list(texts),
                second,
                padding=True,
                truncation=True,
                max_length=min(self.max_length, 64),
                return_tensors="np",
            )
            got = self(list(texts), second, max_length=64)
            for name, value in got.items():
                _compare(name, texts, value.numpy(), expected[name])


def _compare(name: str, texts: Sequence[str], got: Any, expected: Any) -> None:
    if got.shape != expected.shape or not np.array_equal(got, expected):
        rows = zip(texts, got.tolist(), expected.tolist(), strict=True)
        text, ours, theirs = next(row for row in rows if row[1] != row[2])
        raise InvalidInput(
            f"{name} of {text!r} differ in the graph: {ours}; tokenizers gives {theirs}. Please report it"
        )


def _flat(ragged: Any) -> tuple[Tensor, Tensor]:
    return ragged.values, ragged.row_splits


def _ragged(values: Tensor, splits: Tensor) -> Any:
    import tensorflow as tf

    return tf.RaggedTensor.from_row_splits(values, splits, validate=False)


def _strategy(truncation: bool | str) -> str:
    if isinstance(truncation, bool):
        return "longest_first" if truncation else "do_not_truncate"
    return truncation


def _width(padding: bool | str, limit: int, multiple: int) -> Callable[[Tensor], Tensor]:
    """From the lengths of rows, int32 [rows], to the batch's length."""
    import tensorflow as tf

    if padding not in (True, "longest", "max_length"):
        raise InvalidInput(
            f"expected padding of True, 'longest' or 'max_length'; got {padding!r}: a tensor has one length"
        )
    if padding == "max_length" and limit == UNLIMITED:
        raise InvalidInput("padding='max_length' needs max_length: the tokenizer has no maximum of its own")
    if multiple < 1:
        raise InvalidInput(f"expected pad_to_multiple_of of at least 1; got {multiple}")
    least = limit if padding == "max_length" else 1
    return lambda lengths: -(-tf.reduce_max(tf.concat([lengths, [least]], 0)) // multiple) * multiple


def _strings(x: Any) -> Tensor:
    import tensorflow as tf

    tensor = tf.convert_to_tensor([x] if isinstance(x, str | bytes) else x, tf.string)
    if tensor.shape.rank not in (1, None):
        raise InvalidInput(f"expected strings of shape [batch]; got shape {tensor.shape}")
    return tensor
