"""An environment of its own for each engine: their requirements contradict each other's and ours."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

from flowformers.bench.peers import Environment
from flowformers.errors import PeerUnavailable
from flowformers.progress import stage

FAILED = "failed.txt"


def python_of(environment: Environment, root: Path, *, retry: bool = False) -> Path:
    """The environment's Python; the environment is made below root where it is not there yet.

    Raises PeerUnavailable with pip's own words. A failure is remembered until retry.
    """
    if not environment.requirements:
        return Path(sys.executable)
    folder = root / environment.name
    stamp, failed = folder / f"installed-{_key(environment)}", folder / FAILED
    if not stamp.is_file():
        if failed.is_file() and not retry:
            raise PeerUnavailable(f"{failed.read_text(encoding='utf-8')} (`flowformers bench --setup` tries again)")
        _install(environment, folder, failed)
        stamp.touch()
    return folder / "bin" / "python"


def _key(environment: Environment) -> str:
    return hashlib.sha256("\n".join(environment.requirements).encode()).hexdigest()[:12]


def _install(environment: Environment, folder: Path, failed: Path) -> None:
    failed.unlink(missing_ok=True)
    make = [sys.executable, "-m", "venv", str(folder)]
    python = str(folder / "bin" / "python")
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *environment.requirements]
    with stage(f"Installing {', '.join(environment.requirements)}"):
        for command in (make, pip):
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                reason = f"could not be installed: {_last_error(done.stderr)}"
                folder.mkdir(parents=True, exist_ok=True)
                failed.write_text(reason, encoding="utf-8")
                raise PeerUnavailable(reason)


def _last_error(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error")]
    return (errors or lines or ["no reason given"])[-1]
