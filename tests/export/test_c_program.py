"""The export answers a C program as it answers Python: TensorFlow's C API, no interpreter."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import flowformers

EXAMPLE = Path(__file__).parents[2] / "examples" / "c" / "predict.c"
IDS = [101, 1045, 2293, 2009, 102]


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The compiled example."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    library, binary = Path(tf.__file__).parent, tmp_path_factory.mktemp("c") / "predict"
    libraries = [str(library / f"lib{name}.so.2") for name in ("tensorflow_cc", "tensorflow_framework")]
    command = [compiler, "-Wall", "-Werror", str(EXAMPLE), "-o", str(binary), f"-I{library / 'include'}", *libraries]
    subprocess.run([*command, f"-Wl,-rpath,{library}"], check=True)
    return binary


def run(program, *words):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run([str(program), *map(str, words)], capture_output=True, text=True, env=environment)


@pytest.mark.slow
def test_a_c_program_gets_the_models_answer(program, minilm, tmp_path):
    model = flowformers.TFBertForSequenceClassification.from_pretrained(minilm)
    model.save_pretrained(tmp_path, saved_model=True)
    done = run(program, tmp_path / "saved_model" / "1", "StatefulPartitionedCall_1", *IDS)
    assert done.returncode == 0, done.stderr
    logits = model(np.array([IDS])).logits.numpy()[0]
    np.testing.assert_allclose(list(map(float, done.stdout.split())), logits, rtol=0, atol=1e-6)


@pytest.mark.slow
def test_a_c_program_is_told_of_ids_outside_the_vocabulary(program, minilm, tmp_path):
    flowformers.TFBertForSequenceClassification.from_pretrained(minilm).save_pretrained(tmp_path, saved_model=True)
    done = run(program, tmp_path / "saved_model" / "1", "StatefulPartitionedCall_1", 10**6)
    assert (done.returncode, "30522" in done.stderr) == (1, True), done.stderr
