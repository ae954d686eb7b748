"""One loaded version of a model: signatures, and running them.

A session feeds graph tensors as TensorFlow Serving does: shapes that a signature declares are not enforced, an op that
can't take them objects (TF Serving protocol, sections 4 and 18).
"""

from __future__ import annotations

import contextlib
import math
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.saved_model.loader_impl import SavedModelLoader

from flowformers.errors import FlowformersError, Kind, ServingError
from flowformers.serving import calls, metrics
from flowformers.serving.batching import Batcher
from flowformers.serving.batching_config import parameters_for
from flowformers.serving.pace import Pace
from flowformers.serving.rows import MASK, bounded, example
from flowformers.serving.runs import Runs
from flowformers.serving.session_config import session_config
from flowformers.serving.settings import Settings
from flowformers.types import Array
from flowformers.wire.json_form import INIT_OP

WARMUP = Path("assets.extra/tf_serving_warmup_requests")
TEXT_OPS = (b"FastBertNormalize", b"FastWordpiece", b"SentencepieceOp", b"TFText>")
HAS_VALUES = re.compile(r"^VarHandleOp|^Variable|^Mutable")  # ops whose values lie in variables/


@dataclass(frozen=True)
class Signature:
    """Names of inputs and outputs with their graph tensors and NumPy dtypes ("object" for strings)."""

    name: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    dtypes: Mapping[str, str]
    method_name: str
    defaults: Mapping[str, Array]

    def filled(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """The inputs with defaults for those left out (section 10). Raises ServingError where names do not fit."""
        if set(inputs) == self.inputs.keys():
            return inputs
        missing = sorted(set(self.inputs) - set(inputs) - set(self.defaults))
        extra = sorted(set(inputs) - set(self.inputs))
        if missing and len(missing) == len(extra):
            raise ServingError(
                Kind.INVALID_ARGUMENT,
                f"Signature input alias: {missing[0]}(feed name: {self.inputs[missing[0]]}) not found in request",
            )
        if missing or extra:
            raise ServingError(
                Kind.INVALID_ARGUMENT,
                f"input size does not match signature: {len(inputs)}!={len(self.inputs)} "
                f"Sent extra: {{{','.join(extra)}}}. Missing but required: {{{','.join(missing)}}}.",
            )
        return {name: self.defaults[name] for name in self.inputs if name not in inputs} | dict(inputs)


class Servable:
    """A SavedModel in a session of its own. Raises ServingError of the loader's kind where it can't be loaded."""

    def __init__(self, folder: Path, version: int, settings: Settings) -> None:
        self.folder, self.version = folder, version
        self._session = tf.compat.v1.Session(graph=tf.Graph(), config=session_config(settings))
        try:
            meta = self._load(settings.saved_model_tags.split(","))
        except Exception:
            self._session.close()
            raise
        self._plain_runs = Runs(self._session, meta.graph_def, bounded(meta))
        self._runs = self._joined(settings)
        self.signature_defs = dict(meta.signature_def)
        self.signatures = {
            name: _signature(name, definition) for name, definition in self.signature_defs.items() if name != INIT_OP
        }

    def _load(self, tags: Sequence[str]) -> Any:
        _register_text_ops(self.folder)
        try:
            return _restored(self._session, tags, self.folder)
        except tf.errors.OpError as error:
            raise to_serving_error(error) from error
        except Exception as error:  # the loader raises IOError, RuntimeError, ValueError and parse errors
            raise ServingError(Kind.NOT_FOUND, f"{self.folder} is no SavedModel that can be loaded: {error}") from error

    def _joined(self, settings: Settings) -> Runs | Batcher:
        """The runs, joined into batches where that is asked for."""
        try:
            parameters = parameters_for(self.folder, settings)
        except FlowformersError as error:
            raise ServingError(error.kind, str(error)) from error
        if parameters is None:
            return self._plain_runs
        return Batcher(self._plain_runs, self._session, parameters)

    def signature(self, name: str) -> Signature | None:
        """The signature of that name."""
        return self.signatures.get(name)

    def run(
        self,
        signature: Signature,
        inputs: Mapping[str, Array],
        outputs: Sequence[str],
        *,
        timeout_ms: int = 0,
        cpu_seconds: float = math.inf,
    ) -> dict[str, Array]:
        """Feed every input, fetch the outputs named; arrays by output name.

        timeout_ms: 0 is none. Raises ServingError with TensorFlow's code and text; NotShort, before anything is run,
        where that is not sure to take so few seconds of the processor.
        """
        feeds = {signature.inputs[name]: _checked(name, inputs[name], signature.dtypes[name]) for name in inputs}
        fetches = [signature.outputs[name] for name in outputs]
        began = time.perf_counter()
        try:
            values = self._runs.run(signature.name, feeds, fetches, timeout_ms, cpu_seconds)
        except tf.errors.OpError as error:
            raise to_serving_error(error) from error
        except UnicodeDecodeError as error:  # a text with a client's bytes in it: only the op's code is lost
            text = error.object.decode("utf-8", errors="replace")
            raise ServingError(Kind.INVALID_ARGUMENT, _first_line(text)) from error
        except (TypeError, ValueError) as error:
            raise ServingError(Kind.INVALID_ARGUMENT, str(error)) from error
        finally:
            calls.ran(time.perf_counter() - began)
        _count_tokens(feeds.get(signature.inputs.get(MASK, "")))
        return dict(zip(outputs, values, strict=True))

    def pace(self, signature_name: str) -> Pace:
        """How long the runs of a signature take."""
        return self._runs.pace(signature_name)

    @property
    def batch_size(self) -> int:
        """Rows that the graph itself joins from concurrent requests; 0 where it does not."""
        return self._plain_runs.batch_size

    def warm_up(self, repeats: int = 1) -> int:
        """Run the requests in assets.extra; returns how many. Raises ServingError for one that fails (section 16)."""
        if isinstance(self._runs, Batcher):
            self._make_queues(self._runs)
        path = self.folder / WARMUP
        if not path.is_file():
            return 0
        from flowformers.serving.warmup import warm_up

        return warm_up(self, path, repeats)

    def _make_queues(self, batcher: Batcher) -> None:
        """Make the queues of token and text signatures now, with a first batch, and not at the first request's cost."""
        for name, signature in self.signatures.items():
            rows = example(self.signature_defs[name].inputs)
            if rows is not None:
                with contextlib.suppress(ServingError, tf.errors.OpError, TypeError, ValueError):
                    batcher.run(name, rows, list(signature.outputs.values()), 0)

    def interrupt(self) -> None:
        """End the runs in flight, and wait for those that do not heed it: an op that computes is not cut short."""
        self._session.close()

    def close(self) -> None:
        """Give the memory back."""
        self._plain_runs.close()
        self._session.close()


def _count_tokens(mask: Array | None) -> None:
    if mask is not None and mask.dtype.kind == "i":
        metrics.tokens(calls.model(), int(np.count_nonzero(mask)), mask.size)


def _restored(session: Any, tags: Sequence[str], folder: Path) -> Any:
    """The MetaGraphDef, with its graph in the session and its variables' values restored.

    These are the loader's own steps; but it wants variables/ also where nothing is to be restored, and TensorFlow
    Serving does not (section 14).
    """
    loader = SavedModelLoader(str(folder))
    meta = loader.get_meta_graph_def_from_tags(tags)
    saver, _ = loader.load_graph(session.graph, tags)
    if (folder / "variables").exists() or any(HAS_VALUES.search(node.op) for node in meta.graph_def.node):
        loader.restore_variables(session, saver)
    loader.run_init_ops(session, tags)
    return meta


def _register_text_ops(folder: Path) -> None:
    """Import tensorflow_text where the graph has its ops: importing is what registers them."""
    path = folder / "saved_model.pb"
    if path.is_file() and any(name in path.read_bytes() for name in TEXT_OPS):
        with contextlib.suppress(ImportError):  # the loader then names the op that is missing
            import tensorflow_text  # noqa: F401


def _signature(name: str, definition: Any) -> Signature:
    return Signature(
        name,
        {key: info.name for key, info in definition.inputs.items()},
        {key: info.name for key, info in sorted(definition.outputs.items())},
        {key: _numpy_name(info.dtype) for key, info in definition.inputs.items()},
        definition.method_name,
        {key: tf.make_ndarray(value) for key, value in definition.defaults.items()},
    )


def _numpy_name(number: int) -> str:
    dtype = tf.as_dtype(number)
    return "object" if dtype == tf.string else str(dtype.name)


def _checked(name: str, array: Array, dtype: str) -> Array:
    """The array as it is fed. A wrong dtype is refused: TensorFlow would take it for bytes of another kind."""
    got = _name_of(array.dtype)
    if got != dtype:
        raise ServingError(Kind.INVALID_ARGUMENT, f"expected dtype {dtype} for input {name!r}; got {got}")
    return array if array.flags.c_contiguous else array.copy()


@lru_cache(64)  # NumPy spells a name anew each time
def _name_of(dtype: Any) -> str:
    return "object" if dtype.kind in "OSU" else str(dtype.name)


def to_serving_error(error: Any) -> ServingError:
    """TensorFlow's error with the same code."""
    return ServingError(Kind(error.error_code), _first_line(str(error.message)))


def _first_line(text: str) -> str:
    """What an op says, without the graph's origin behind it."""
    return text.split("\n\t [[")[0].strip()
