"""How position ids come about, one value for each way."""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf

from flowformers.types import Tensor


@dataclass(frozen=True)
class Absolute:
    """0, 1, 2, ... whatever the tokens are (BERT, ELECTRA, DistilBERT)."""

    @property
    def reserved(self) -> int:
        """Rows of the position table that no token can use."""
        return 0

    @property
    def pad_row(self) -> int | None:
        """The row of the position table that belongs to padding and is not trained."""
        return None

    def ids(self, input_ids: Tensor | None, batch: Tensor | int, length: Tensor | int) -> Tensor:
        """Returns int32 [B, S]."""
        return tf.broadcast_to(tf.range(length)[None, :], [batch, length])


@dataclass(frozen=True)
class AfterPad:
    """Counting starts behind pad_id and skips pad tokens (RoBERTa, MPNet: create_position_ids_from_input_ids)."""

    pad_id: int

    @property
    def reserved(self) -> int:
        """Rows of the position table that no token can use."""
        return self.pad_id + 1

    @property
    def pad_row(self) -> int | None:
        """The row of the position table that belongs to padding and is not trained."""
        return self.pad_id

    def ids(self, input_ids: Tensor | None, batch: Tensor | int, length: Tensor | int) -> Tensor:
        """Returns int32 [B, S]. Without ids padding can't be seen: pad_id + 1, pad_id + 2, ... for every row."""
        if input_ids is None:
            counted = tf.range(length)[None, :] + self.pad_id + 1
            return tf.broadcast_to(counted, [batch, length])
        real = tf.cast(tf.not_equal(input_ids, self.pad_id), tf.int32)
        return tf.cumsum(real, axis=1) * real + self.pad_id
