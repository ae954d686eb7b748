"""The same comparison with PyTorch itself, on configs that no golden file has seen."""

from __future__ import annotations

import pytest

from .cases import HEADS, make_case
from .compare import assert_equal, load

pytestmark = pytest.mark.torch
FRESH = range(1000, 1020)


@pytest.mark.parametrize(("family", "head"), [(family, head) for family in HEADS for head in HEADS[family][1]])
def test_head_equals_pytorch_live(family, head, tmp_path):
    pytest.importorskip("torch")
    from .reference import answers

    for seed in FRESH:
        case = make_case(family, head, seed)
        expected, shapes = answers(case)
        folder = tmp_path / str(seed)
        folder.mkdir()
        assert_equal(case, load(case, shapes, folder), expected)
