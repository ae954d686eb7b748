"""Tokenisation: the tokenizers library behind transformers' interface. TFTokenizer does the same in a graph;
only its use needs TensorFlow."""

from __future__ import annotations

from tokenizers import AddedToken

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

# The names of transformers' tokenizers in Python; here there is one of each.
BertTokenizer = BertTokenizerFast
CamembertTokenizer = CamembertTokenizerFast
DistilBertTokenizer = DistilBertTokenizerFast
ElectraTokenizer = ElectraTokenizerFast
MPNetTokenizer = MPNetTokenizerFast
PreTrainedTokenizer = PreTrainedTokenizerBase = PreTrainedTokenizerFast
RobertaTokenizer = RobertaTokenizerFast
XLMRobertaTokenizer = XLMRobertaTokenizerFast

__all__ = [
    "AddedToken",
    "AutoTokenizer",
    "BatchEncoding",
    "BertTokenizer",
    "BertTokenizerFast",
    "CamembertTokenizer",
    "CamembertTokenizerFast",
    "Decoder",
    "DistilBertTokenizer",
    "DistilBertTokenizerFast",
    "ElectraTokenizer",
    "ElectraTokenizerFast",
    "Encoded",
    "MPNetTokenizer",
    "MPNetTokenizerFast",
    "PreTrainedTokenizer",
    "PreTrainedTokenizerBase",
    "PreTrainedTokenizerFast",
    "RobertaTokenizer",
    "RobertaTokenizerFast",
    "TFTokenizer",
    "XLMRobertaTokenizer",
    "XLMRobertaTokenizerFast",
    "stitched",
]
