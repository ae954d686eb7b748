"""TFTokenizer: text -> ids as TensorFlow ops, in a SavedModel, in tf.data, or called directly."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from flowformers.errors import InvalidInput
from flowformers.text.assembly import assemble, templates
from flowformers.text.auto import AutoTokenizer
from flowformers.text.bytelevel import ByteLevelBPE
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
ALGORITHMS: dict[str, Any] = {"BPE": ByteLevelBPE, "Unigram": Unigram, "WordPiece": WordPiece}


class TFTokenizer:
    """A tokenizer with exactly the ids of the `tokenizers` library, made of ops that TensorFlow Serving has.

    Raises InvalidInput that names whatever a tokenizer.json asks for and has no exact graph form here.
    """

    def __init__(self, tokenizer: Any, *, max_length: int | None = None) -> None:
        """tokenizer: what AutoTokenizer gives. max_length: in tokens, where the tokenizer's own limit is larger."""
        self._reference = tokenizer
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
        self._algorithm = ALGORITHMS[kind](settings)
        self._shared: Any = None

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path, *, max_length: int | None = None, **hub: Any) -> Self:
        """From a checkpoint folder or Hub id."""
        return cls(AutoTokenizer.from_pretrained(name_or_path, **hub), max_length=max_length)

    def ids(self, text: Tensor) -> Any:
        """text: string [n]. Returns ragged int64 ids without special tokens, from one function that all calls share."""
        import tensorflow as tf

        if self._shared is None:  # one copy of the tables in a SavedModel, whatever number of signatures use it

            def flat(text: Tensor) -> tuple[Tensor, Tensor]:
                with tf.device("/CPU:0"):
                    found = self._algorithm(text)
                return found.values, found.row_splits

            self._shared = tf.function(flat, input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
        values, splits = self._shared(text)
        return tf.RaggedTensor.from_row_splits(values, splits, validate=False)

    def __call__(
        self,
        text: Any,
        text_pair: Any = None,
        *,
        max_length: int | None = None,
        truncation: str = "longest_first",
        pad_to_multiple_of: int = 1,
    ) -> dict[str, Tensor]:
        """text, text_pair: strings [B] (tensor, list, or one str). Returns the model's inputs, int32 [B, S].

        Rows are cut to max_length tokens by `truncation` (longest_first, only_first, only_second) and padded to the
        longest.
        """
        import tensorflow as tf

        texts = [_strings(x) for x in (text, text_pair) if x is not None]
        batch = assemble(
            [self.ids(one) for one in texts],
            self._single if len(texts) == 1 else self._pair,
            max_length=min(max_length or self.max_length, self.max_length),
            strategy=truncation,
            pad_id=self.pad_id,
            pad_type=0,
            multiple=pad_to_multiple_of,
        )
        names = [name for name in self.model_input_names if name in batch]
        return {name: tf.ensure_shape(batch[name], [None, None]) for name in names}

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


def _strings(x: Any) -> Tensor:
    import tensorflow as tf

    tensor = tf.convert_to_tensor([x] if isinstance(x, str | bytes) else x, tf.string)
    if tensor.shape.rank not in (1, None):
        raise InvalidInput(f"expected strings of shape [batch]; got shape {tensor.shape}")
    return tensor
