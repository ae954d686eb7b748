"""SentencePiece's model file, written by hand, and its op (format: sentencepiece_model.proto)."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from typing import Any

from flowformers.errors import MissingDependency
from flowformers.types import Tensor

NORMAL, UNKNOWN = 1, 2
BPE = 2


def model_file(pieces: Iterable[tuple[str, float]]) -> bytes:
    """A BPE model that normalises nothing and merges the neighbours whose joint piece scores highest.

    pieces: with their scores, numbered from 1, behind the unknown one.
    """
    entries = [(chr(0x2047), 0.0, UNKNOWN), *((piece, score, NORMAL) for piece, score in pieces)]
    minus_one = b"\xff" * 9 + b"\x01"
    trainer = _varint(3, BPE) + _varint(40, 0) + b"".join(_key(field, 0) + minus_one for field in (41, 42, 43))
    normalizer = _bytes(1, b"identity") + b"".join(_varint(field, 0) for field in (3, 4, 5))
    body = (_bytes(1, _bytes(1, p.encode()) + b"\x15" + struct.pack("<f", s) + _varint(3, t)) for p, s, t in entries)
    return b"".join(body) + _bytes(2, trainer) + _bytes(3, normalizer)


def _key(field: int, wire: int) -> bytes:
    return _number(field << 3 | wire)


def _varint(field: int, value: int) -> bytes:
    return _key(field, 0) + _number(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _key(field, 2) + _number(len(value)) + value


def _number(value: int) -> bytes:
    low, high = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + _number(high) if high else bytes([low])


def tokenize(model: bytes, text: Tensor) -> Any:
    """text: string [n]. Returns a RaggedTensor of int32 places in the model's pieces [n, (tokens)].

    The model stands in the graph, under a name of its own content, so that a server with many never mixes them.
    """
    import tensorflow as tf

    try:
        from tensorflow_text.python.ops.sentencepiece_tokenizer import gen_sentencepiece_tokenizer as ops
    except ImportError as error:
        raise MissingDependency("text in a graph needs tensorflow-text: pip install 'flowformers[cpu]'") from error
    handle = ops.sentencepiece_op(model=model, shared_name=hashlib.sha256(model).hexdigest())
    values, splits = ops.sentencepiece_tokenize_op(
        handle, text, nbest_size=0, alpha=1.0, add_bos=False, add_eos=False, reverse=False, out_type=tf.int32
    )
    return tf.RaggedTensor.from_row_splits(values, tf.cast(splits, tf.int64), validate=False)
