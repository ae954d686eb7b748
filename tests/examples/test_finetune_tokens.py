"""The token-classification example learns from files in CoNLL's form and saves a model that tags."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import flowformers

EXAMPLE = Path(__file__).parents[2] / "examples" / "finetune_tokens.py"
PEOPLE = ("Anna", "Boris", "Clara", "David", "Elena", "Frank", "Grace", "Henry", "Irene", "Jacob")
PLACES = ("Berlin", "Cairo", "Delhi", "Geneva", "Lagos", "Lima", "Madrid", "Oslo", "Paris", "Tokyo")
FORMS = ("{p} lives in {q} .", "In {q} we met {p} yesterday .", "{p} left {q} for {r} .", "Nobody in {q} knows {p} .")


def write(path, people, places, seed):
    """240 sentences about some people and places, every word with its tag."""
    random = np.random.default_rng(seed)
    lines = ["-DOCSTART- -X- O O", ""]
    for _ in range(240):
        names = dict(zip("pqr", (random.choice(people), *random.choice(places, 2)), strict=True))
        for word in str(random.choice(FORMS)).split():
            name = names.get(word.strip("{}")) if word.startswith("{") else None
            tag = "O" if name is None else "B-PER" if name in PEOPLE else "B-LOC"
            lines.append(f"{name or word} _ {tag}")
        lines.append("")
    path.write_text("\n".join(lines))


@pytest.mark.slow
def test_names_it_has_not_seen_are_tagged(tmp_path):
    write(tmp_path / "train.conll", PEOPLE[:7], PLACES[:7], 1)
    write(tmp_path / "test.conll", PEOPLE[7:], PLACES[7:], 2)
    command = [sys.executable, EXAMPLE, *(tmp_path / name for name in ("train.conll", "test.conll", "out"))]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert float(re.search(r"accuracy ([\d.]+)", done.stdout)[1]) > 0.9
    model = flowformers.TFAutoModelForTokenClassification.from_pretrained(tmp_path / "out")
    assert set(model.config.id2label.values()) == {"B-LOC", "B-PER", "O"}
