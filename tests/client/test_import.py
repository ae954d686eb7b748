"""The client on its own: no TensorFlow, and no more than its protocol needs."""

from __future__ import annotations

import pytest

from tests.test_imports import run

LIBRARIES = ["tensorflow", "keras", "h5py", "tokenizers", "huggingface_hub", "starlette", "uvicorn"]


@pytest.mark.parametrize(
    ("url", "missing"), [("http://localhost", ["grpc"]), ("grpc://localhost", ["httpx2"]), ("unix:/x", ["httpx2"])]
)
def test_a_client_imports_what_its_protocol_needs(url, missing):
    script = f"""
import sys
from flowformers.client import AsyncClient, Client
with Client({url!r}, model="bert") as client:
    print([name for name in {LIBRARIES + missing!r} if sys.modules.get(name)])
"""
    assert run(script, without_tensorflow=True) == "[]"
