"""Environments of their own for slow tests that need packages which the product never sees."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from zlib import crc32

ROOT = Path(__file__).parents[1]


def environment(name: str, *packages: str, alone: tuple[str, ...] = ()) -> Path:
    """The Python of .venv-NAME, made on first use. alone: packages without what they depend on."""
    folder = ROOT / f".venv-{name}"
    python = folder / "bin" / "python"
    stamp = folder / f".packages-{crc32(' '.join([*packages, *alone]).encode()):x}"
    if not stamp.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *packages], check=True)
        if alone:
            subprocess.run([*pip, "--no-deps", *alone], check=True)
        stamp.touch()
    return python


def run_in(python: Path, script: Path, *words: object, path: tuple[Path, ...] = ()) -> str:
    """What a script prints in an environment. path: what it may import beside the environment's packages."""
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if path:
        variables["PYTHONPATH"] = os.pathsep.join(map(str, path))
    done = subprocess.run([python, script, *map(str, words)], capture_output=True, text=True, env=variables)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
