"""The pages about the client run as they stand, against a server at the addresses they name."""

from __future__ import annotations

import runpy

import pytest

from tests.test_docs import ROOT, blocks


def placed(code, server):
    """The code with the ports of a running server and a model it has."""
    ports = {"localhost:8501": f"127.0.0.1:{server.rest_port}", "localhost:8500": f"127.0.0.1:{server.grpc_port}"}
    for old, new in {**ports, '"bert"': '"words"'}.items():
        code = code.replace(old, new)
    return code


@pytest.fixture
def checkpoint(tmp_path, words, monkeypatch):
    (tmp_path / "my_checkpoint").symlink_to(words.checkpoint)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("code", blocks("py"))
def test_client_blocks_run(code, words, checkpoint):
    exec(compile(placed(code, words), "docs", "exec"), {"__name__": "__main__"})


def test_the_example_prints_a_label_for_each_text(words, capsys):
    main = runpy.run_path(str(ROOT / "examples" / "client.py"))["main"]
    main("I love it.", "Not for me.", url=f"grpc://127.0.0.1:{words.grpc_port}", model="words")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] in {"good", "bad", "ügly"} for line in lines] == [True, True]
    assert [line.split(maxsplit=2)[2] for line in lines] == ["I love it.", "Not for me."]
