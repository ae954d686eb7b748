"""Checkpoints from a Hub: a small one on this machine that answers as huggingface.co does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import urlsplit

import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {
    "config.json": b"{}",
    "tokenizer.json": b"{}",
    "model.safetensors": b"safe",
    "pytorch_model.bin": b"pickled",
    "tf_model.h5": b"h5",
    "onnx/model.onnx": b"large",
}
NOWHERE = "http://127.0.0.1:9"


class Hub(BaseHTTPRequestHandler):
    """owner/tiny for everyone, owner/private for nobody."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path.startswith("/api/models/owner/tiny/tree/"):
            found = [{"type": "file", "path": name, "oid": "1" * 40, "size": len(FILES[name])} for name in FILES]
            return self._answer(json.dumps(found).encode())
        if path.startswith("/api/models/owner/tiny"):
            siblings = [{"rfilename": name} for name in FILES]
            return self._answer(json.dumps({"id": "owner/tiny", "sha": COMMIT, "siblings": siblings}).encode())
        name = path.removeprefix(f"/owner/tiny/resolve/{COMMIT}/")
        if name in FILES:
            return self._answer(FILES[name], {"ETag": f'"{name}"', "X-Repo-Commit": COMMIT})
        return self._answer(b"", {"X-Error-Code": "RepoNotFound"}, status=401)

    def _answer(self, body: bytes, headers: dict[str, str] | None = None, status: int = 200) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Nothing."""


@contextmanager
def hub() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def resolve(
    endpoint: str, cache: object, repo: str, module: str = "checkpoint", **variables: str
) -> subprocess.CompletedProcess[str]:
    """The Hub's address is read when huggingface_hub is imported, so each call has a process of its own."""
    names = {"checkpoint": "flowformers.checkpoint import resolve", "text": "flowformers.text.files import folder_of"}
    function = names[module].split()[-1]
    code = f"from {names[module]}; print({function}({repo!r}))"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment |= {"HF_ENDPOINT": endpoint, "HF_HUB_CACHE": str(cache), "HF_HUB_DISABLE_XET": "1"} | variables
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)


def files(printed: str) -> set[str]:
    folder = printed.strip().splitlines()[-1]
    return {name for _, _, names in os.walk(folder) for name in names}


def test_one_format_of_the_weights_is_downloaded(tmp_path):
    with hub() as endpoint:
        done = resolve(endpoint, tmp_path, "owner/tiny")
    assert files(done.stdout) == {"config.json", "tokenizer.json", "model.safetensors"}, done.stderr


def test_a_tokenizer_downloads_no_weights(tmp_path):
    with hub() as endpoint:
        done = resolve(endpoint, tmp_path, "owner/tiny", "text")
    assert files(done.stdout) == {"config.json", "tokenizer.json"}, done.stderr


def test_what_was_downloaded_is_used_where_the_hub_is_out_of_reach(tmp_path):
    with hub() as endpoint:
        before = resolve(endpoint, tmp_path, "owner/tiny")
    after = resolve(NOWHERE, tmp_path, "owner/tiny")
    assert after.stdout == before.stdout, after.stderr
    assert "owner/tiny is read from the cache" in after.stderr
    offline = resolve(NOWHERE, tmp_path, "owner/tiny", HF_HUB_OFFLINE="1")
    assert offline.stdout == before.stdout, offline.stderr


@pytest.mark.parametrize("module", ["checkpoint", "text"])
def test_a_hub_out_of_reach_is_told_as_not_found(tmp_path, module):
    done = resolve(NOWHERE, tmp_path, "owner/tiny", module)
    assert "NotFound: there is no folder 'owner/tiny'" in done.stderr
    assert "Check the spelling, the network" in done.stderr


def test_a_private_repository_is_told_with_the_token(tmp_path):
    with hub() as endpoint:
        done = resolve(endpoint, tmp_path, "owner/private")
    assert "NotFound" in done.stderr
    assert "for private repositories the token (HF_TOKEN)" in done.stderr
