"""What a tokenizer returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

from flowformers.errors import InvalidInput, MissingDependency


class CharSpan(NamedTuple):
    """Characters of a text: from start up to end, end not included."""

    start: int
    end: int


class TokenSpan(NamedTuple):
    """Tokens of an encoding: from start up to end, end not included."""

    start: int
    end: int


class BatchEncoding(dict[str, Any]):
    """Named lists or tensors (input_ids, attention_mask, ...), also by attribute, with the library's encodings.

    batch["input_ids"] is a list or tensor, batch[0] the first text's encoding. Methods that tell words, characters and
    tokens apart take the number in the batch first, or leave it out for the first text: char_to_token(4),
    char_to_token(1, 4).
    """

    def __init__(
        self,
        data: Mapping[str, Any] | None = None,
        encoding: Any = None,
        tensor_type: str | None = None,
        prepend_batch_axis: bool = False,
    ) -> None:
        super().__init__(data or {})
        self.encodings = (
            [] if encoding is None else list(encoding) if isinstance(encoding, list | tuple) else [encoding]
        )
        self.convert_to_tensors(tensor_type, prepend_batch_axis)

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return self[name]
        raise AttributeError(f"the encoding has {', '.join(self)}; there is no {name!r}")

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, int | slice):
            return self._known()[key]
        return super().__getitem__(key)

    def _known(self) -> list[Any]:
        if not self.encodings:
            raise InvalidInput(
                "this batch holds no encodings of the tokenizers library, only lists or tensors: pad() keeps none. "
                "Ask what the tokenizer itself returned"
            )
        return self.encodings

    @property
    def data(self) -> dict[str, Any]:
        """The lists or tensors as a plain dict."""
        return dict(self)

    @property
    def is_fast(self) -> bool:
        """Whether the encodings are known."""
        return bool(self.encodings)

    @property
    def n_sequences(self) -> int | None:
        """1 for texts, 2 for pairs; None where the encodings are not known."""
        return int(self.encodings[0].n_sequences) if self.encodings else None

    # Tensors

    def convert_to_tensors(self, tensor_type: str | None = None, prepend_batch_axis: bool = False) -> Self:
        """Turn lists into NumPy arrays ("np") or TensorFlow tensors ("tf") in place. Returns itself."""
        values = {name: [value] if prepend_batch_axis else value for name, value in self.items()}
        self.update(as_tensors(values, tensor_type) if tensor_type else {})
        return self

    def to(self, device: Any = None, **_: Any) -> Self:
        """Itself: TensorFlow brings tensors to where they are used."""
        return self

    # Tokens, words and characters

    def tokens(self, batch_index: int = 0) -> list[str]:
        """The tokens of one text."""
        return list(self._known()[batch_index].tokens)

    def word_ids(self, batch_index: int = 0) -> list[int | None]:
        """The word of every token of one text; None for special tokens."""
        return list(self._known()[batch_index].word_ids)

    words = word_ids

    def sequence_ids(self, batch_index: int = 0) -> list[int | None]:
        """0 or 1 for tokens of the first or second text; None for special tokens."""
        return list(self._known()[batch_index].sequence_ids)

    def _at(self, batch_or_index: int, index: int | None) -> tuple[Any, int]:
        """The encoding meant, and the number within it."""
        text, place = (0, batch_or_index) if index is None else (batch_or_index, index)
        return self._known()[text], place

    def char_to_token(
        self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """The token that holds a character of the first or second text; None where none does."""
        encoding, place = self._at(batch_or_char_index, char_index)
        return encoding.char_to_token(place, sequence_index)  # type: ignore[no-any-return]

    def char_to_word(
        self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """The word that holds a character of the first or second text; None where none does."""
        encoding, place = self._at(batch_or_char_index, char_index)
        return encoding.char_to_word(place, sequence_index)  # type: ignore[no-any-return]

    def token_to_word(self, batch_or_token_index: int, token_index: int | None = None) -> int | None:
        """The word of a token; None for special tokens."""
        encoding, place = self._at(batch_or_token_index, token_index)
        return encoding.token_to_word(_within(place, encoding))  # type: ignore[no-any-return]

    def token_to_sequence(self, batch_or_token_index: int, token_index: int | None = None) -> int | None:
        """0 or 1, the text of a token; None for special tokens."""
        encoding, place = self._at(batch_or_token_index, token_index)
        return encoding.token_to_sequence(_within(place, encoding))  # type: ignore[no-any-return]

    def token_to_chars(self, batch_or_token_index: int, token_index: int | None = None) -> CharSpan | None:
        """The characters of a token; None for special tokens."""
        encoding, place = self._at(batch_or_token_index, token_index)
        span = encoding.token_to_chars(_within(place, encoding))
        return None if span is None else CharSpan(*span)

    def word_to_tokens(
        self, batch_or_word_index: int, word_index: int | None = None, sequence_index: int = 0
    ) -> TokenSpan | None:
        """The tokens of a word of the first or second text; None where there is no such word."""
        encoding, place = self._at(batch_or_word_index, word_index)
        span = encoding.word_to_tokens(place, sequence_index)
        return None if span is None else TokenSpan(*span)

    def word_to_chars(
        self, batch_or_word_index: int, word_index: int | None = None, sequence_index: int = 0
    ) -> CharSpan | None:
        """The characters of a word of the first or second text; None where there is no such word."""
        encoding, place = self._at(batch_or_word_index, word_index)
        span = encoding.word_to_chars(place, sequence_index)
        return None if span is None else CharSpan(*span)


def _within(index: int, encoding: Any) -> int:
    """Numbers below zero count from the end."""
    return index + len(encoding) if index < 0 else index


def as_tensors(data: dict[str, Any], kind: str | None) -> dict[str, Any]:
    """Lists as they are (None), NumPy arrays ("np") or TensorFlow tensors ("tf"); ids are [B, S], int64 or int32."""
    if kind is None:
        return data
    if kind not in ("np", "tf"):
        raise InvalidInput(f"expected return_tensors to be None, 'np' or 'tf'; got {kind!r}")
    return {name: _tensor(name, values, kind) for name, values in data.items()}


def _tensor(name: str, values: Any, kind: str) -> Any:
    import numpy as np

    try:
        array = np.array(values)
        array = array.astype(np.int64) if array.dtype.kind in "iu" or not array.size else array
    except ValueError as error:
        raise InvalidInput(
            f"{name}: the rows have different lengths; use padding=True, and truncation=True for long ones"
        ) from error
    return array if kind == "np" else _tensorflow().constant(array, dtype=_narrow(array.dtype.kind))


def _narrow(kind: str) -> str | None:
    """TensorFlow's own choice for Python's numbers, which NumPy would make twice as wide."""
    return {"i": "int32", "f": "float32"}.get(kind)


def _tensorflow() -> Any:
    try:
        import tensorflow
    except ImportError as error:
        raise MissingDependency(
            "return_tensors='tf' needs TensorFlow: pip install 'flowformers[cpu]', or use return_tensors='np'"
        ) from error
    return tensorflow
