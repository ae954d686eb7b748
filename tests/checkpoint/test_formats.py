"""Every format gives the same tensors, and files that can't be trusted are refused whole."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
import zipfile

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

import flowformers
from flowformers.checkpoint import open_checkpoint
from flowformers.errors import CheckpointError, NotFound, UnsafePickle, WeightsMismatch
from tests.checkpoint.weight_files import (
    Storage,
    Tensor,
    truncated_to_bfloat16,
    write_bin,
    write_pickle,
    write_safetensors,
    write_shards,
)
from tests.conftest import tiny_config

NUMBERS = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
WRITERS = {"model.safetensors": write_safetensors, "pytorch_model.bin": write_bin}


@pytest.fixture
def saved(tmp_path, classifier):
    """A checkpoint folder and the model whose weights it holds."""
    classifier.save_pretrained(tmp_path / "model", safe_serialization=True)
    return tmp_path / "model", classifier


def pytorch_tensors(folder):
    return load_file(folder / "model.safetensors")


def replace_weights(folder, tensors, name="model.safetensors", write=None):
    (folder / "model.safetensors").unlink(missing_ok=True)
    (write or WRITERS[name])(folder / name, tensors)
    return folder


def same_weights(one, other):
    pairs = zip(one.slots(), other.slots(), strict=True)
    return all(np.array_equal(a.variable.numpy(), b.variable.numpy()) for a, b in pairs)


def load(folder, **options):
    return flowformers.TFBertForSequenceClassification.from_pretrained(folder, **options)


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("sharded", [False, True])
def test_pytorch_files_whole_or_sharded_give_back_every_weight(saved, name, sharded):
    folder, model = saved
    tensors = pytorch_tensors(folder)
    (folder / "model.safetensors").unlink()
    write_shards(folder, name, tensors, WRITERS[name]) if sharded else WRITERS[name](folder / name, tensors)
    assert same_weights(load(folder), model)


def test_weights_that_older_ones_beside_them_hide_are_told(saved, caplog):
    folder, model = saved
    model.save_pretrained(folder)
    assert re.search(r"tf_model\.h5 is written, but .* reads .*model\.safetensors beside it first", caplog.text)
    caplog.clear()
    model.save_pretrained(folder, safe_serialization=True)
    assert not caplog.text


def test_a_tf_file_gives_back_every_weight(tmp_path, classifier):
    classifier.save_pretrained(tmp_path)
    assert not (tmp_path / "model.safetensors").exists()
    assert same_weights(load(tmp_path), classifier)


def test_half_precision_is_read_exactly(saved):
    folder, _ = saved
    tensors = pytorch_tensors(folder)
    name = "bert.embeddings.word_embeddings.weight"
    bits, meant = truncated_to_bfloat16(tensors[name])
    replace_weights(folder, {key: truncated_to_bfloat16(x)[0] for key, x in tensors.items()}, "pytorch_model.bin")
    assert np.array_equal(load(folder).get_input_embeddings().embeddings.numpy(), meant)
    write_safetensors(folder / "model.safetensors", {name: bits}, dtype="BF16")
    with open_checkpoint(folder) as checkpoint:
        assert np.array_equal(checkpoint.read(name), meant)


@pytest.mark.parametrize("stored", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_views_with_strides_and_offsets_are_read_as_pytorch_means_them(tmp_path, stored):
    storage = Storage(np.arange(40, dtype=np.float32))
    tensors = {"t": Tensor(storage, (3, 4), (1, 3), offset=5), "s": Tensor(storage, (), (), offset=7)}
    write_bin(tmp_path / "pytorch_model.bin", tensors, compression=stored)
    with open_checkpoint(tmp_path) as checkpoint:
        assert np.array_equal(checkpoint.read("t"), (np.arange(12).reshape(4, 3) + 5).T)
        assert checkpoint.read("s") == 7


# Files of other times and hands


def test_old_norm_names_are_read_as_weight_and_bias(saved):
    folder, model = saved
    old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    renamed = {}
    for name, x in pytorch_tensors(folder).items():
        for new, former in old.items():
            name = name.replace(new, former)
        renamed[name] = x
    assert same_weights(load(replace_weights(folder, renamed)), model)


def test_a_bare_encoder_without_prefix_fills_a_model_with_a_head(saved):
    folder, model = saved
    tensors = pytorch_tensors(folder)
    bare = {name.removeprefix("bert."): x for name, x in tensors.items() if name.startswith("bert.")}
    loaded, info = load(replace_weights(folder, bare), output_loading_info=True)
    assert info["missing_keys"] == ["classifier.weight", "classifier.bias"]
    assert np.array_equal(loaded.bert.pooler.dense.kernel.numpy(), model.bert.pooler.dense.kernel.numpy())


def test_saved_buffers_and_tied_copies_are_no_surprise(tmp_path):
    model = flowformers.TFBertForMaskedLM(tiny_config())
    model.save_pretrained(tmp_path, safe_serialization=True)
    tensors = pytorch_tensors(tmp_path)
    tensors["bert.embeddings.position_ids"] = np.arange(12, dtype=np.int64)[None]
    tensors["cls.predictions.decoder.weight"] = tensors["bert.embeddings.word_embeddings.weight"]
    tensors["cls.predictions.decoder.bias"] = tensors["cls.predictions.bias"]
    loaded, info = flowformers.TFBertForMaskedLM.from_pretrained(
        replace_weights(tmp_path, tensors), output_loading_info=True
    )
    assert same_weights(loaded, model)
    assert (info["missing_keys"], info["unexpected_keys"], info["mismatched_keys"]) == ([], [], [])


TIED = {
    "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
    "cls.predictions.decoder.bias": "cls.predictions.bias",
}


@pytest.fixture
def masked_lm(tmp_path):
    """A checkpoint folder and the model with a tied output layer whose weights it holds."""
    model = flowformers.TFBertForMaskedLM(tiny_config())
    model.head.bias.bias.assign(np.arange(40.0))
    model.save_pretrained(tmp_path, safe_serialization=True)
    return tmp_path, model


def test_weights_kept_only_under_their_tied_names_are_found(masked_lm):
    folder, model = masked_lm
    tensors = pytorch_tensors(folder)
    for copy, name in TIED.items():
        tensors[copy] = tensors.pop(name)
    assert same_weights(type(model).from_pretrained(replace_weights(folder, tensors)), model)


@pytest.mark.parametrize("copy", TIED)
def test_an_output_layer_with_weights_of_its_own_is_refused_and_the_encoder_loads(masked_lm, copy):
    """tie_word_embeddings false in PyTorch: its answers would silently be others."""
    folder, model = masked_lm
    tensors = pytorch_tensors(folder)
    replace_weights(folder, tensors | {copy: tensors[TIED[copy]] + 1})
    with pytest.raises(WeightsMismatch, match=f"expected {copy} to be equal to {TIED[copy]}"):
        type(model).from_pretrained(folder)
    assert load(folder).config.vocab_size == 40


def test_rank_3_kernels_of_the_first_article_are_read(tmp_path, classifier):
    """transformers 4.2 and 4.3 kept attention kernels as [H, N, D] and [N, D, H], biases as [N, D]."""
    classifier.save_pretrained(tmp_path)
    with h5py.File(tmp_path / "tf_model.h5", "r+") as file:
        paths = []
        file.visit(paths.append)
        for path in [path for path in paths if "/attention/" in path and path.endswith(("kernel:0", "bias:0"))]:
            array = file[path][()]
            if "/self/" in path:
                shape = (16, 2, 8) if array.ndim == 2 else (2, 8)
            else:
                shape = (2, 8, 16) if array.ndim == 2 else (16,)
            del file[path]
            file[path] = array.reshape(shape)
    assert same_weights(load(tmp_path), classifier)


# The TensorFlow file as readers of transformers 4 expect it


def test_the_h5_file_has_the_layout_of_transformers(tmp_path, classifier):
    classifier.save_pretrained(tmp_path)
    with h5py.File(tmp_path / "tf_model.h5") as file:
        assert [name.decode() for name in file.attrs["layer_names"]] == ["bert", "classifier"]
        assert file.attrs["backend"] == "tensorflow"
        names = [name.decode() for name in file["bert"].attrs["weight_names"]]
        root = "tf_bert_for_sequence_classification/bert/"
        assert names[0].startswith(root)
        for variable, shape in {
            "embeddings/word_embeddings/weight:0": (40, 16),
            "embeddings/token_type_embeddings/embeddings:0": (2, 16),
            "embeddings/LayerNorm/gamma:0": (16,),
            "encoder/layer_._1/attention/self/query/kernel:0": (16, 16),
            "encoder/layer_._0/intermediate/dense/kernel:0": (16, 24),
            "encoder/layer_._0/output/dense/kernel:0": (24, 16),
            "pooler/dense/bias:0": (16,),
        }.items():
            assert root + variable in names
            assert file[f"bert/{root}{variable}"].shape == shape


def test_a_tied_head_lists_the_embeddings_again_and_the_file_holds_them_once(tmp_path):
    flowformers.TFBertForMaskedLM(tiny_config(vocab_size=9000)).save_pretrained(tmp_path)
    table = "tf_bert_for_masked_lm/bert/embeddings/word_embeddings/weight:0"
    with h5py.File(tmp_path / "tf_model.h5") as file:
        assert table in [name.decode() for name in file["mlm___cls"].attrs["weight_names"]]
        assert file[f"mlm___cls/{table}"] == file[f"bert/{table}"]
    assert (tmp_path / "tf_model.h5").stat().st_size < 1.5 * 9000 * 16 * 4


@pytest.mark.slow
def test_attributes_larger_than_hdf5_allows_are_split_and_read_back(tmp_path):
    model = flowformers.TFBertModel(tiny_config(num_hidden_layers=64, hidden_size=4, intermediate_size=4))
    model.save_pretrained(tmp_path)
    with h5py.File(tmp_path / "tf_model.h5") as file:
        assert "weight_names" not in file["bert"].attrs
        assert "weight_names1" in file["bert"].attrs
    assert same_weights(flowformers.TFBertModel.from_pretrained(tmp_path), model)


# Files that must not be trusted


class Attack:
    def __init__(self, call, *args):
        self.call, self.args = call, args

    def __reduce__(self):
        return self.call, self.args


@pytest.mark.parametrize("call", [os.system, exec, eval, subprocess.call, getattr], ids=lambda call: call.__name__)
def test_a_hostile_pickle_is_refused_and_runs_nothing(tmp_path, call):
    evil = Attack(call, f"open({str(tmp_path / 'ran')!r}, 'w')")
    write_bin(tmp_path / "pytorch_model.bin", {"t": NUMBERS}, wrap=lambda state: {"state_dict": state, "x": evil})
    with pytest.raises(UnsafePickle, match=r"pytorch_model\.bin.*only tensors are allowed, and nothing of it was run"):
        open_checkpoint(tmp_path)
    assert not (tmp_path / "ran").exists()


@given(st.binary(max_size=200))
@settings(deadline=None)
def test_any_pickle_is_read_or_refused(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("pickle")
    write_pickle(folder / "pytorch_model.bin", content)
    with pytest.raises(CheckpointError):
        open_checkpoint(folder)


@pytest.mark.parametrize("name", [*WRITERS, "tf_model.h5"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_truncated_file_is_refused_with_its_name(tmp_path, classifier, name, share):
    classifier.save_pretrained(tmp_path, safe_serialization=name != "tf_model.h5")
    if name == "pytorch_model.bin":
        replace_weights(tmp_path, pytorch_tensors(tmp_path), name)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(len(content) * share)])
    with pytest.raises(CheckpointError, match=name.replace(".", r"\.")):
        load(tmp_path)


def test_a_storage_too_small_for_its_tensor_is_refused(tmp_path):
    write_bin(tmp_path / "pytorch_model.bin", {"t": Tensor(Storage(NUMBERS), (3, 50), (50, 1))})
    with open_checkpoint(tmp_path) as checkpoint, pytest.raises(CheckpointError, match="t reaches beyond its storage"):
        checkpoint.read("t")


def test_a_missing_file_is_told_with_what_is_there(saved):
    folder, _ = saved
    (folder / "model.safetensors").rename(folder / "other.bin")
    with pytest.raises(NotFound, match=r"expected model\.safetensors or .* there is config\.json, other\.bin"):
        load(folder)


def test_an_index_that_names_absent_shards_is_told(saved):
    folder, _ = saved
    tensors = pytorch_tensors(folder)
    (folder / "model.safetensors").unlink()
    write_shards(folder, "model.safetensors", tensors, write_safetensors)
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(NotFound, match=r"model-00002-of-00002\.safetensors"):
        load(folder)


def test_shards_without_their_index_are_told_to_need_it(saved):
    folder, _ = saved
    (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
    with pytest.raises(NotFound, match=r"download it, too"):
        load(folder)


@pytest.mark.parametrize("name", [*WRITERS, "tf_model.h5"])
def test_a_pointer_that_git_left_is_told_from_a_damaged_file(saved, name):
    folder, _ = saved
    (folder / "model.safetensors").unlink()
    (folder / name).write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'4d' * 32}\nsize 437955512\n")
    with pytest.raises(CheckpointError, match=rf"{name} is a pointer .*git lfs pull"):
        load(folder)


def test_an_index_reaches_no_file_outside_its_folder(saved):
    folder, _ = saved
    (folder / "model.safetensors").rename(folder.parent / "outside.safetensors")
    index = {"weight_map": {"t": "../outside.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(NotFound, match=r"outside\.safetensors"):
        load(folder)


@pytest.mark.slow
def test_loading_never_holds_more_than_2_2_checkpoints(tmp_path):
    """Peak resident memory of a process that loads a BERT of 6 layers, beyond TensorFlow's own."""
    script = textwrap.dedent("""
        import resource, sys
        import tensorflow as tf
        import flowformers
        tf.matmul(tf.ones([8, 8]), tf.ones([8, 8]))
        flowformers.TFBertModel(flowformers.BertConfig(
            vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        flowformers.TFBertModel.from_pretrained(sys.argv[1])
        print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
    """)
    flowformers.TFBertModel(flowformers.BertConfig(num_hidden_layers=6)).save_pretrained(
        tmp_path, safe_serialization=True
    )
    size = (tmp_path / "model.safetensors").stat().st_size
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    assert int(done.stdout) <= 2.2 * size
