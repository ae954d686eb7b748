"""Each family's special tokens and, where a folder has only vocabulary files, its pipeline (reference: transformers
convert_slow_tokenizer.py)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from flowformers.errors import ConfigError
from flowformers.text.tokenizer import SPECIAL, PreTrainedTokenizerFast

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


class BertTokenizerFast(PreTrainedTokenizerFast):
    """WordPiece: [CLS] A [SEP] B [SEP], token types 0 and 1."""

    model_input_names: ClassVar[tuple[str, ...]] = ("input_ids", "token_type_ids", "attention_mask")
    defaults = BERT_TOKENS
    vocab_files = ("vocab.txt",)

    @classmethod
    def build(cls, folder: Path, settings: dict[str, Any]) -> Tokenizer:
        """The pipeline from vocab.txt; do_lower_case, strip_accents and tokenize_chinese_chars are honoured."""
        tokenizer = word_piece(folder, settings)
        cls_token, sep = settings["cls_token"], settings["sep_token"]
        tokenizer.post_processor = template(
            tokenizer, f"{cls_token}:0 $A:0 {sep}:0", f"{cls_token}:0 $A:0 {sep}:0 $B:1 {sep}:1", (cls_token, sep)
        )
        return tokenizer


class ElectraTokenizerFast(BertTokenizerFast):
    """BERT's."""


class DistilBertTokenizerFast(BertTokenizerFast):
    """BERT's, without token types."""

    model_input_names = ("input_ids", "attention_mask")


class MPNetTokenizerFast(PreTrainedTokenizerFast):
    """WordPiece with RoBERTa's special tokens: <s> A </s></s> B </s>."""

    defaults = ROBERTA_TOKENS | {"unk_token": "[UNK]"}
    vocab_files = ("vocab.txt",)

    @classmethod
    def build(cls, folder: Path, settings: dict[str, Any]) -> Tokenizer:
        """The pipeline from vocab.txt."""
        tokenizer = word_piece(folder, settings)
        tokenizer.post_processor = roberta_template(tokenizer, settings)
        return tokenizer


class RobertaTokenizerFast(PreTrainedTokenizerFast):
    """Byte-level BPE: <s> A </s></s> B </s>."""

    defaults = ROBERTA_TOKENS
    vocab_files = ("vocab.json", "merges.txt")

    @classmethod
    def build(cls, folder: Path, settings: dict[str, Any]) -> Tokenizer:
        """The pipeline from vocab.json and merges.txt; add_prefix_space and trim_offsets are honoured."""
        prefix, trim = bool(settings.get("add_prefix_space", False)), bool(settings.get("trim_offsets", True))
        tokenizer = Tokenizer(models.BPE.from_file(str(folder / "vocab.json"), str(folder / "merges.txt")))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
        tokenizer.decoder = decoders.ByteLevel()
        add_special(tokenizer, settings)
        sep, first = ((settings[name], _id(tokenizer, settings[name])) for name in ("sep_token", "cls_token"))
        tokenizer.post_processor = processors.RobertaProcessing(sep, first, trim_offsets=trim, add_prefix_space=prefix)
        return tokenizer


class XLMRobertaTokenizerFast(PreTrainedTokenizerFast):
    """Unigram, from tokenizer.json."""

    defaults = ROBERTA_TOKENS


class CamembertTokenizerFast(PreTrainedTokenizerFast):
    """Unigram, from tokenizer.json."""

    defaults = ROBERTA_TOKENS


def word_piece(folder: Path, settings: dict[str, Any]) -> Tokenizer:
    """BERT's normalizer, pre-tokenizer and model over folder/vocab.txt."""
    words = (folder / "vocab.txt").read_text(encoding="utf-8").split("\n")
    vocab = {word.rstrip("\r"): index for index, word in enumerate(words if words[-1] else words[:-1])}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token=settings["unk_token"]))
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
    """Make the special tokens special: found in raw text, never split. <mask> swallows the space before it."""
    for name in SPECIAL:
        token = settings.get(name)
        if token is not None:
            spaced = name == "mask_token" and token == "<mask>"
            tokenizer.add_special_tokens([AddedToken(token, lstrip=spaced, normalized=False, special=True)])


def _id(tokenizer: Tokenizer, token: str) -> int:
    found = tokenizer.token_to_id(token)
    if found is None:
        raise ConfigError(f"expected the special token {token!r} in the vocabulary; it is not there")
    return found


def roberta_template(tokenizer: Tokenizer, settings: dict[str, Any]) -> Any:
    """<s> A </s></s> B </s>, all of token type 0."""
    first, sep = settings["cls_token"], settings["sep_token"]
    single = f"{first}:0 $A:0 {sep}:0"
    return template(tokenizer, single, f"{single} {sep}:0 $B:0 {sep}:0", (first, sep))


def template(tokenizer: Tokenizer, single: str, pair: str, tokens: Sequence[str]) -> Any:
    """A template processor with the ids of its special tokens."""
    ids = [(token, _id(tokenizer, token)) for token in tokens]
    return processors.TemplateProcessing(single=single, pair=pair, special_tokens=ids)
