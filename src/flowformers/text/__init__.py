"""Tokenisation: the tokenizers library behind transformers' interface. TFTokenizer does the same in a graph;
only its use needs TensorFlow."""

from __future__ import annotations

from flowformers.text.assembly import Encoded, stitched
from flowformers.text.auto import AutoTokenizer
from flowformers.text.decoding import Decoder
from flowformers.text.encoding import BatchEncoding
from flowformers.text.families import (
    BertTokenizerFast,
    CamembertTokenizerFast,
    DistilBertTokenizerFast,
    ElectraTokenizerFast,
    MPNetTokenizerFast,
    RobertaTokenizerFast,
    XLMRobertaTokenizerFast,
)
from flowformers.text.graph import TFTokenizer
from flowformers.text.tokenizer import PreTrainedTokenizerFast

__all__ = [
    "AutoTokenizer",
    "BatchEncoding",
    "BertTokenizerFast",
    "CamembertTokenizerFast",
    "Decoder",
    "DistilBertTokenizerFast",
    "ElectraTokenizerFast",
    "Encoded",
    "MPNetTokenizerFast",
    "PreTrainedTokenizerFast",
    "RobertaTokenizerFast",
    "TFTokenizer",
    "XLMRobertaTokenizerFast",
    "stitched",
]
