"""Ray Serve and Ray Data run on one machine, in an environment of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowformers.errors import MissingDependency
from tests.environments import ROOT, environment, run_in
from tests.serving.conftest import Arithmetic

SCRIPT = Path(__file__).with_name("ray_app.py")


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    from flowformers.deploy.ray import application

    with pytest.raises(MissingDependency, match=r"pip install 'flowformers\[cpu,ray\]'"):
        application("my_model")


@pytest.mark.slow
def test_ray_serves_and_scores(tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # else Ray leaves a token in the home folder
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    Arithmetic().save(tmp_path / "math" / "3")
    python = environment("ray", f"--editable={ROOT}[cpu,ray]")
    assert run_in(python, SCRIPT, tmp_path / "math").endswith("done\n")
