"""A server under load while versions come, break and go. Longer: FLOWFORMERS_SOAK_SECONDS=600 pytest -m slow -s ..."""

from __future__ import annotations

import os
import shutil
import threading
import time

import numpy as np
import pytest

import flowformers
from tests.conftest import tiny_config
from tests.serving import soak
from tests.serving.conftest import Arithmetic
from tests.serving.test_process import command

SECONDS = int(os.environ.get("FLOWFORMERS_SOAK_SECONDS", "120"))
LENGTHS = (2, 5, 9, 17, 30)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """(folder, questions): folder/even and folder/odd are two exports with different answers."""
    folder = tmp_path_factory.mktemp("soak")
    sizes = {"vocab_size": 20_000, "hidden_size": 128, "num_attention_heads": 4, "intermediate_size": 512}
    config = tiny_config(**sizes, max_position_embeddings=32, num_labels=3)
    random = np.random.default_rng(11)
    ids = [random.integers(1, 20_000, (1 + index % 2, length)) for index, length in enumerate(LENGTHS)]
    inputs = [{"input_ids": rows, "attention_mask": np.ones_like(rows), "token_type_ids": 0 * rows} for rows in ids]
    answers = [{} for _ in inputs]
    for parity, name in enumerate(("even", "odd")):
        model = flowformers.TFBertForSequenceClassification(config)
        for weight in model.weights:
            weight.assign(weight + random.normal(scale=0.05, size=weight.shape))
        model.save_pretrained(folder / "saved", saved_model=True)
        (folder / "saved" / "saved_model" / "1").rename(folder / name)
        shutil.rmtree(folder / "saved")
        for question, found in zip(inputs, answers, strict=True):
            found[parity] = model(question).logits.numpy()
    narrow = [{name: rows.astype(np.int32) for name, rows in question.items()} for question in inputs]
    return folder, [soak.Question(question, found) for question, found in zip(narrow, answers, strict=True)]


@pytest.mark.slow
def test_nothing_fails_while_versions_come_break_and_go(prepared):  # protocol 14, 15
    folder, questions = prepared
    base, math = folder / "bert", folder / "math"
    base.mkdir()
    soak.put(folder / "odd", base, 1)
    Arithmetic().save(math / "1")
    sources, step = {0: folder / "even", 1: folder / "odd"}, min(20.0, SECONDS / 6)
    flags = ["--enable_batching", "--model_name=bert", "--max_num_load_retries=0", "--rest_api_timeout_in_ms=300000"]
    with command(base, *flags) as (process, client, _):
        threading.Thread(target=process.stderr.read, daemon=True).start()
        most = soak.capacity(soak.Load(client.rest_port, client.grpc_port, questions), 10)
        load = soak.Load(client.rest_port, client.grpc_port, questions, rate=0.8 * most)
        stop, memory = threading.Event(), soak.Memory(process.pid)
        threads = [threading.Thread(target=work, args=(stop,)) for work in (load.run, memory.watch)]
        for thread in threads:
            thread.start()
        began, version = time.monotonic(), 1
        while (elapsed := time.monotonic() - began) < SECONDS - step:
            time.sleep(step / 2)
            soak.disconnect(client.rest_port, "bert")
            time.sleep(step / 2)
            version += 1
            soak.put(sources[version % 2], base, version)
            if version == 3:
                soak.put_corrupt(folder / "even", base, 100)
                time.sleep(min(3, step / 4))
                shutil.rmtree(base / "100")
            if version in (4, 5):  # a second model comes, and goes
                soak.reload_config(client.grpc_port, *[("math", math)] * (version == 4), ("bert", base))
        time.sleep(max(0.0, SECONDS - elapsed))
        stop.set()
        for thread in threads:
            thread.join()
        early = memory.median(min(60, SECONDS / 2), min(60, SECONDS / 2) + step)
        late = memory.median(SECONDS - step, SECONDS + step)
        print(
            f"\n{SECONDS} s: capacity {most:.0f}/s, {load.answered} answers, {len(load.failures)} failures, slowest "
            f"{load.slowest:.2f} s, {version} versions, resident {early:.0f} -> {late:.0f} MB ({late / early - 1:+.1%})"
        )
        assert not load.failures, load.failures[:5]
        assert late < 1.05 * early
