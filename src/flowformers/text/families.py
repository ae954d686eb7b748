"""Each family's special tokens and, where a folder has only vocabulary files, its pipeline (reference: transformers
convert_slow_tokenizer.py)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from flowformers.errors import ConfigError
from flowformers.text.tokenizer import PreTrainedTokenizerFast
from flowformers.text.vocabulary import add_listed, content, named_tokens

BERT_TOKENS = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
ROBERTA_TOKENS = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "sep_token": "</s>",
    "pad_token": "<pad>",
    "cls_token": "<s>",
    "mask_token": "<mask>",
}
WITHOUT_TYPES = ("input_ids", "attention_mask")
# Keywords of tokenizer_config.json -> fields of a part of tokenizer.json.
NORMALIZER = {
    "do_lower_case": "lowercase",
    "strip_accents": "strip_accents",
    "tokenize_chinese_chars": "handle_chinese_chars",
}
BYTE_LEVEL = {"add_prefix_space": "add_prefix_space", "trim_offsets": "trim_offsets"}


class BertTokenizerFast(PreTrainedTokenizerFast):
    """WordPiece: [CLS] A [SEP] B [SEP], token types 0 and 1."""

    defaults = BERT_TOKENS
    vocab_files = ("vocab.txt",)

    @classmethod
    def build(cls, files: Sequence[Path], settings: dict[str, Any]) -> Tokenizer:
        """The pipeline from vocab.txt; do_lower_case, strip_accents and tokenize_chinese_chars are honoured."""
        tokenizer = word_piece(files[0], settings)
        sep, cls_token = _ends(settings)
        tokenizer.post_processor = template(
            tokenizer, f"{cls_token}:0 $A:0 {sep}:0", f"{cls_token}:0 $A:0 {sep}:0 $B:1 {sep}:1", (cls_token, sep)
        )
        return tokenizer

    @classmethod
    def follow(cls, backend: Tokenizer, settings: dict[str, Any]) -> None:
        """do_lower_case, strip_accents and tokenize_chinese_chars, where they are given."""
        change_part(backend, "normalizer", "BertNormalizer", settings, NORMALIZER)


class ElectraTokenizerFast(BertTokenizerFast):
    """BERT's."""


class DistilBertTokenizerFast(BertTokenizerFast):
    """BERT's, without token types."""

    model_input_names = WITHOUT_TYPES


class MPNetTokenizerFast(PreTrainedTokenizerFast):
    """WordPiece with RoBERTa's special tokens: <s> A </s></s> B </s>."""

    model_input_names = WITHOUT_TYPES
    defaults = ROBERTA_TOKENS | {"unk_token": "[UNK]"}
    vocab_files = ("vocab.txt",)

    @classmethod
    def build(cls, files: Sequence[Path], settings: dict[str, Any]) -> Tokenizer:
        """The pipeline from vocab.txt."""
        tokenizer = word_piece(files[0], settings)
        tokenizer.post_processor = roberta_template(tokenizer, settings)
        return tokenizer

    @classmethod
    def follow(cls, backend: Tokenizer, settings: dict[str, Any]) -> None:
        """do_lower_case, strip_accents and tokenize_chinese_chars, where they are given."""
        change_part(backend, "normalizer", "BertNormalizer", settings, NORMALIZER)


class RobertaTokenizerFast(PreTrainedTokenizerFast):
    """Byte-level BPE: <s> A </s></s> B </s>."""

    model_input_names = WITHOUT_TYPES
    defaults = ROBERTA_TOKENS
    vocab_files = ("vocab.json", "merges.txt")

    @classmethod
    def build(cls, files: Sequence[Path], settings: dict[str, Any]) -> Tokenizer:
        """The pipeline from vocab.json and merges.txt; add_prefix_space and trim_offsets are honoured."""
        prefix, trim = bool(settings.get("add_prefix_space", False)), bool(settings.get("trim_offsets", True))
        tokenizer = Tokenizer(models.BPE.from_file(*map(str, files)))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
        tokenizer.decoder = decoders.ByteLevel()
        add_special(tokenizer, settings)
        sep, first = ((token, _id(tokenizer, token)) for token in _ends(settings))
        tokenizer.post_processor = processors.RobertaProcessing(sep, first, trim_offsets=trim, add_prefix_space=prefix)
        return tokenizer

    @classmethod
    def follow(cls, backend: Tokenizer, settings: dict[str, Any]) -> None:
        """add_prefix_space and trim_offsets, where they are given."""
        change_part(backend, "pre_tokenizer", "ByteLevel", settings, {"add_prefix_space": "add_prefix_space"})
        change_part(backend, "post_processor", "RobertaProcessing", settings, BYTE_LEVEL)


class XLMRobertaTokenizerFast(PreTrainedTokenizerFast):
    """Unigram, from tokenizer.json."""

    model_input_names = WITHOUT_TYPES
    defaults = ROBERTA_TOKENS


class CamembertTokenizerFast(PreTrainedTokenizerFast):
    """Unigram, from tokenizer.json."""

    model_input_names = WITHOUT_TYPES
    defaults = ROBERTA_TOKENS


def change_part(backend: Tokenizer, part: str, kind: str, settings: dict[str, Any], fields: dict[str, str]) -> None:
    """Make a part of a pipeline anew where settings differ from it; a part of another kind stays."""
    found = getattr(backend, part)
    state = json.loads(found.__getstate__()) if found is not None else {}
    wanted = {field: settings[name] for name, field in fields.items() if name in settings}
    if state.pop("type", None) != kind or state | wanted == state:
        return
    for field, value in wanted.items():
        setattr(found, field, value)
    setattr(backend, part, found)


def word_piece(vocab_file: Path, settings: dict[str, Any]) -> Tokenizer:
    """BERT's normalizer, pre-tokenizer and model over a vocab.txt."""
    words = vocab_file.read_text(encoding="utf-8").split("\n")
    vocab = {word.rstrip("\r"): index for index, word in enumerate(words if words[-1] else words[:-1])}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token=content(settings["unk_token"])))
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=settings.get("tokenize_chinese_chars", True),
        strip_accents=settings.get("strip_accents"),
        lowercase=settings.get("do_lower_case", True),
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    add_special(tokenizer, settings)
    return tokenizer


def add_special(tokenizer: Tokenizer, settings: dict[str, Any]) -> None:
    """Make the special tokens special: found in raw text, never split. Those listed with an id come first."""
    add_listed(tokenizer, settings)
    tokenizer.add_special_tokens(named_tokens(settings))


def _ends(settings: dict[str, Any]) -> tuple[str, str]:
    """The tokens behind and before a text."""
    return content(settings["sep_token"]), content(settings["cls_token"])


def _id(tokenizer: Tokenizer, token: str) -> int:
    found = tokenizer.token_to_id(token)
    if found is None:
        raise ConfigError(f"expected the special token {token!r} in the vocabulary; it is not there")
    return found


def roberta_template(tokenizer: Tokenizer, settings: dict[str, Any]) -> Any:
    """<s> A </s></s> B </s>, all of token type 0."""
    sep, first = _ends(settings)
    single = f"{first}:0 $A:0 {sep}:0"
    return template(tokenizer, single, f"{single} {sep}:0 $B:0 {sep}:0", (first, sep))


def template(tokenizer: Tokenizer, single: str, pair: str, tokens: Sequence[str]) -> Any:
    """A template processor with the ids of its special tokens."""
    ids = [(token, _id(tokenizer, token)) for token in tokens]
    return processors.TemplateProcessing(single=single, pair=pair, special_tokens=ids)
