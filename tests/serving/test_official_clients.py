"""The clients that others publish, in environments of their own, take our server for theirs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import flowformers
from tests.environments import environment, run_in
from tests.serving.conftest import serve

pytestmark = pytest.mark.slow
SCRIPTS = Path(__file__).parent / "official"
TEXTS = ["I love it.", "Not for me.", "日本"]


def test_openais_client_gets_the_models_embeddings(minilm, tmp_path):
    model = flowformers.TFSentenceEncoder.from_pretrained(str(minilm))
    tokenizer = flowformers.AutoTokenizer.from_pretrained(str(minilm))
    model.save_pretrained(tmp_path, saved_model=True, tokenizer=tokenizer)
    python = environment("openai", "openai>=2")
    with serve(tmp_path / "saved_model", model_name="minilm") as server:
        url = f"http://127.0.0.1:{server.rest_port}"
        found = json.loads(run_in(python, SCRIPTS / "openai_client.py", url, "minilm"))
    expected = model.encode(TEXTS)
    np.testing.assert_allclose(found["plain"], expected, atol=1e-6)
    assert found["packed"] == found["plain"]
    assert found["indices"] == [0, 1, 2]
    tokens = sum(map(len, tokenizer(TEXTS)["input_ids"]))
    assert found["tokens"] == [tokens, tokens]
    assert found["ids"] == 5
    assert found["unknown"] == ["NotFoundError", 404, "model_not_found"]
    assert found["bad"] == ["BadRequestError", 400, None]


def test_tritons_client_gets_answers_over_both_protocols(arithmetic):
    python = environment("triton", "tritonclient[http,grpc]>=2.50", "numpy")
    addresses = f"127.0.0.1:{arithmetic.rest_port}", f"127.0.0.1:{arithmetic.grpc_port}"
    assert run_in(python, SCRIPTS / "triton_client.py", *addresses) == "done\n"
