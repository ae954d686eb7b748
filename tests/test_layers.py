"""Data flows one way: a room imports only rooms that come before it."""

from __future__ import annotations

import ast
from pathlib import Path

import flowformers

ROOT = Path(flowformers.__file__).parent
LEAVES = {"errors", "types", "progress", "prepared", "hub"}
MAY = {
    "checkpoint": set(),
    "text": set(),
    "nn": set(),
    "heads": {"nn"},
    "families": {"heads", "nn", "checkpoint"},
    "models": {"families", "heads", "nn", "checkpoint", "text"},
    "training": {"models", "families", "heads", "nn", "checkpoint"},
    "export": {"models", "text", "checkpoint", "wire"},
    "wire": set(),
    "serving": {"wire"},
    "client": {"wire"},
    "bench": {
        "models",
        "families",
        "heads",
        "nn",
        "checkpoint",
        "text",
        "training",
        "export",
        "wire",
        "serving",
        "client",
    },
    "deploy": {"serving"},
}
# The article's API has the export on the model: docs/decisions/0001-save-pretrained-exports.md.
EXCEPTIONS = {("models/saving.py", "export"), ("models/sentence.py", "export")}


def rooms_imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module == "flowformers":
            names = [f"flowformers.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        found |= {name.split(".")[1] for name in names if name.startswith("flowformers.")}
    return found


def test_imports_follow_the_line_of_data():
    wrong = []
    for room, allowed in MAY.items():
        for path in (ROOT / room).rglob("*.py"):
            name = path.relative_to(ROOT).as_posix()
            extra = rooms_imported(path) - allowed - LEAVES - {room}
            extra -= {other for other in extra if room == "bench" and other[:1].isupper()}  # the public names
            wrong += [f"{name} imports {other}" for other in extra if (name, other) not in EXCEPTIONS]
    assert not wrong


def test_every_room_has_its_arrows():
    rooms = {path.name for path in ROOT.iterdir() if (path / "__init__.py").is_file()}
    assert rooms <= {*MAY, "cli"}


def test_no_room_is_called_utils():
    assert not list(ROOT.rglob("utils.py"))
