"""A family is one file: put there, it is loaded, compared, exported and found by the Auto classes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import flowformers.families

FILE = '''"""BERT whose norms are called Norm, as an example."""

from __future__ import annotations

from flowformers import heads
from flowformers.families import bert
from flowformers.families._family import Family

NAMES = {ours: theirs.replace("LayerNorm", "Norm") for ours, theirs in bert.FAMILY.names.items()}

FAMILY = Family(
    model_type="normbert",
    stem="NormBert",
    prefix="normbert",
    defaults=bert.DEFAULTS,
    encoder=bert.encoder,
    names=NAMES,
    heads={
        "Model": heads.base(output="TFBaseModelOutputWithPoolingAndCrossAttentions", pooler=True),
        "ForSequenceClassification": heads.sequence_classification(heads.Pooled, bert.CLASSIFIER),
    },
)
'''
USE = """
import sys
import numpy as np
import flowformers
import flowformers.families as families
families.__path__.append(sys.argv[1])
config = flowformers.NormBertConfig(
    vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
model = flowformers.TFNormBertForSequenceClassification(config)
model.save_pretrained(sys.argv[2], saved_model=True, safe_serialization=True)
again = flowformers.TFAutoModelForSequenceClassification.from_pretrained(sys.argv[2])
ids = np.array([[1, 2, 3]])
assert type(again) is type(model)
assert np.array_equal(again(ids).logits, model(ids).logits)
"""


def test_a_family_is_one_short_file(tmp_path):
    assert len(FILE.splitlines()) <= 60
    (tmp_path / "families").mkdir()
    (tmp_path / "families" / "normbert.py").write_text(FILE)
    command = [sys.executable, "-c", USE, str(tmp_path / "families"), str(tmp_path / "model")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "model" / "config.json").read_text())["model_type"] == "normbert"
    assert (tmp_path / "model" / "saved_model" / "1" / "saved_model.pb").is_file()


def test_files_of_families_stay_small():
    for path in Path(flowformers.families.__file__).parent.glob("[a-z]*.py"):
        assert len(path.read_text().splitlines()) <= 120, path.name
