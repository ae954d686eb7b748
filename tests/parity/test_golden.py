"""Every head answers as PyTorch transformers does; its numbers are frozen in golden/, so no PyTorch is needed here."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from .cases import HEADS, LONG, SEEDS, make_case
from .compare import assert_equal, load

GOLDEN = {path.stem: np.load(path) for path in (Path(__file__).parent / "golden").glob("*.npz")}
SHAPES = {family: json.loads(str(data["shapes"])) for family, data in GOLDEN.items()}


def test_every_family_has_golden_numbers():
    from flowformers.families import families

    assert set(families()) == set(HEADS) == set(GOLDEN)


@pytest.mark.parametrize(
    "seeds", [(*SEEDS[:3], LONG), pytest.param(SEEDS[3:], marks=pytest.mark.slow)], ids=["first", "others"]
)
@pytest.mark.parametrize(("family", "head"), [(family, head) for family in HEADS for head in HEADS[family][1]])
def test_head_equals_pytorch_on_random_configs(family, head, seeds, tmp_path):
    for seed in seeds:
        if seed == LONG and head != "Model":
            continue
        case = make_case(family, head, seed)
        prefix = f"{case.name}/"
        expected = {
            name[len(prefix) :]: GOLDEN[family][name] for name in GOLDEN[family].files if name.startswith(prefix)
        }
        folder = tmp_path / str(seed)
        folder.mkdir()
        assert_equal(case, load(case, SHAPES[family][case.name], folder), expected)
