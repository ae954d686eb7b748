"""flowformers: as `flowformers export` writes it and the server loads it (fp32, by-length, bf16, int8); eager, in a
tf.function; or the export loaded by TensorFlow, or behind the server's ports, asked by a client in the same process for
the whole hidden states."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .tensorflow_threads import limited_to, numpy_call

PACKAGES = ("flowformers", "tensorflow")
LOADED = ("saved-model", "grpc", "rest")
KEPT: list[Any] = []


def prepare(folder: Path, *, variant: str, threads: int, scratch: Path) -> None:
    """Write the SavedModel that load() will look for."""
    if variant in FLAGS and not _place(scratch, variant).is_dir():
        kind = _kind(variant)
        for old in scratch.glob(f"{kind}-*"):
            shutil.rmtree(old)
        part = scratch / f".{kind}.part"
        shutil.rmtree(part, ignore_errors=True)
        _export(folder, part, FLAGS[variant])
        part.rename(_place(scratch, variant))


def load(folder: Path, *, variant: str, threads: int, scratch: Path) -> Any:
    """variant: fp32, by-length, bf16, int8, eager, graph, saved-model, grpc or rest. See workers/__init__.py."""
    limited_to(threads)
    if variant in ("eager", "graph"):
        return _model(folder, graph=variant == "graph")
    base = _place(scratch, variant) / "saved_model"
    loaders = {"saved-model": _saved_model, "grpc": _grpc, "rest": _rest}
    return loaders.get(variant, _servable)(base, threads)


def _model(folder: Path, *, graph: bool) -> Any:
    from flowformers import TFBertModel

    model = TFBertModel.from_pretrained(folder)

    def run(ids: Any, mask: Any) -> Any:
        return model(ids, mask).last_hidden_state

    return numpy_call(run, graph=graph)


def _saved_model(base: Path, threads: int) -> Any:
    import tensorflow as tf

    signature = tf.saved_model.load(str(base / "1")).signatures["serving_default"]

    def call(ids: Any, mask: Any) -> Any:
        inputs = {name: tf.constant(value) for name, value in _inputs(ids, mask).items()}
        return signature(**inputs)["last_hidden_state"].numpy()

    return call


def _settings(base: Path, threads: int) -> Any:
    from flowformers.serving.settings import Settings

    budget: dict[str, Any] = {"tensorflow_intra_op_parallelism": threads, "tensorflow_inter_op_parallelism": 1}
    return Settings(model_base_path=base, model_name="model", port=-1, rest_api_port=-1, **budget)


def _server(base: Path, threads: int) -> Any:
    """Both ports, in a thread of this process until it ends."""
    from flowformers.serving.server import running

    context = running(_settings(base, threads))
    KEPT.append(context)  # left to itself, the context would end the server
    return context.__enter__()


def _grpc(base: Path, threads: int) -> Any:
    from flowformers.bench.measures import exports, load
    from flowformers.wire import predict_pb2
    from flowformers.wire.tensors import to_array

    ask = load.grpc_call(_server(base, threads).grpc_port)

    def call(ids: Any, mask: Any) -> Any:
        answer = predict_pb2.PredictResponse.FromString(ask(exports.as_proto(_inputs(ids, mask))))
        return to_array(answer.outputs["last_hidden_state"], "last_hidden_state")

    return call


def _rest(base: Path, threads: int) -> Any:
    from flowformers.bench.measures import exports, load

    ask = load.rest_call(_server(base, threads).rest_port)

    def call(ids: Any, mask: Any) -> Any:
        answer = json.loads(ask(exports.as_json(_inputs(ids, mask))))
        return np.asarray(answer["outputs"]["last_hidden_state"], np.float32)

    return call


def _servable(base: Path, threads: int) -> Any:
    from flowformers.serving.servable import Servable

    servable = Servable(base / "1", 1, _settings(base, threads))
    signature = servable.signature("serving_default")
    assert signature is not None
    outputs = ["last_hidden_state"]
    return lambda ids, mask: servable.run(signature, _inputs(ids, mask), outputs)["last_hidden_state"]


def _inputs(ids: Any, mask: Any) -> dict[str, Any]:
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": ids * 0}


def _export(folder: Path, out: Path, flags: Sequence[str]) -> None:
    """What `flowformers export` writes with these flags."""
    words = [sys.executable, "-m", "flowformers", "export", str(folder), str(out), "--no-text", *flags]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError((done.stderr.strip() or "no reason given").splitlines()[-1])


FLAGS: dict[str, Sequence[str]] = {
    "fp32": (),
    "by-length": ("--attention", "by_length"),
    **{precision: ("--precision", precision) for precision in ("bf16", "int8")},
    **dict.fromkeys(LOADED, ()),
}


def _kind(variant: str) -> str:
    """The name of what is written: one export for all that load it."""
    return "fp32" if variant in LOADED else variant


def _place(scratch: Path, variant: str) -> Path:
    """scratch/VARIANT-KEY, the key that of the sources that write it."""
    import flowformers

    root = Path(flowformers.__file__).parent
    sources = sorted(path for path in root.rglob("*.py") if "bench" not in path.parts)
    key = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]
    return scratch / f"{_kind(variant)}-{key}"
