"""What a tokenizer returns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flowformers.errors import InvalidInput, MissingDependency


class BatchEncoding(dict[str, Any]):
    """Named lists or tensors (input_ids, attention_mask, ...), also by attribute, with the library's encodings."""

    def __init__(self, data: dict[str, Any], encodings: Sequence[Any] = ()) -> None:
        super().__init__(data)
        self.encodings = list(encodings)

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return self[name]
        raise AttributeError(f"the encoding has {', '.join(self)}; there is no {name!r}")

    def word_ids(self, index: int = 0) -> list[int | None]:
        """The word of every token of one text; None for special tokens."""
        return list(self.encodings[index].word_ids)

    def sequence_ids(self, index: int = 0) -> list[int | None]:
        """0 or 1 for tokens of the first or second text; None for special tokens."""
        return list(self.encodings[index].sequence_ids)

    def tokens(self, index: int = 0) -> list[str]:
        """The tokens of one text."""
        return list(self.encodings[index].tokens)


def as_tensors(data: dict[str, Any], kind: str | None) -> dict[str, Any]:
    """Lists as they are (None), NumPy int64 ("np") or TensorFlow int32 ("tf"), each [B, S]."""
    if kind is None:
        return data
    if kind not in ("np", "tf"):
        raise InvalidInput(f"expected return_tensors to be None, 'np' or 'tf'; got {kind!r}")
    return {name: _tensor(name, values, kind) for name, values in data.items()}


def _tensor(name: str, values: list[Any], kind: str) -> Any:
    import numpy as np

    try:
        array = np.array(values, dtype=np.int64)
    except ValueError as error:
        raise InvalidInput(
            f"{name}: the texts have different lengths; use padding=True, and truncation=True for long ones"
        ) from error
    return array if kind == "np" else _tensorflow().constant(array, dtype="int32")


def _tensorflow() -> Any:
    try:
        import tensorflow
    except ImportError as error:
        raise MissingDependency(
            "return_tensors='tf' needs TensorFlow: pip install 'flowformers[cpu]', or use return_tensors='np'"
        ) from error
    return tensorflow
