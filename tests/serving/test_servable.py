"""What loads, and what a run that fails says. "protocol N" names a section of the TF Serving protocol."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import tensorflow as tf

from flowformers.errors import Kind, ServingError
from flowformers.serving import Settings
from flowformers.serving.servable import Servable


class Numbers(tf.Module):
    """Texts as numbers, plus a variable where there is one."""

    def __init__(self, offset=None):
        self.offset = 0.0 if offset is None else tf.Variable(offset)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def read(self, text):
        return {"number": tf.strings.to_number(text) + self.offset}


def saved(folder, model):
    tf.saved_model.save(model, str(folder), signatures=model.read)
    return folder


def read(servable, *texts):
    inputs = {"text": np.array(texts, object)}
    return servable.run(servable.signature("serving_default"), inputs, ["number"])["number"].tolist()


def test_a_model_without_variables_needs_no_folder_for_them(tmp_path):  # protocol 14
    shutil.rmtree(saved(tmp_path / "1", Numbers()) / "variables")
    assert read(Servable(tmp_path / "1", 1, Settings()), b"7") == [7.0]


def test_a_model_whose_variables_are_missing_is_not_loaded(tmp_path):  # protocol 14: there it fails at its first run
    shutil.rmtree(saved(tmp_path / "1", Numbers(offset=1.0)) / "variables")
    with pytest.raises(ServingError, match="variables"):
        Servable(tmp_path / "1", 1, Settings())


def test_an_op_that_quotes_bytes_that_are_no_text_is_still_heard(tmp_path):  # protocol 11
    servable = Servable(saved(tmp_path / "1", Numbers()), 1, Settings())
    with pytest.raises(ServingError) as caught:
        read(servable, b"\xff")
    assert caught.value.kind is Kind.INVALID_ARGUMENT
    assert str(caught.value) == "StringToNumberOp could not correctly convert string: \ufffd"
