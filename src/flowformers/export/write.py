"""Write a SavedModel beside its place, prove it, then put it there."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tensorflow as tf

from flowformers.errors import ExportError, VerificationFailed
from flowformers.export import saved_model
from flowformers.export.compatibility import check, parse_release
from flowformers.export.functions import method_of
from flowformers.export.graph import DEFAULT, Graph, tracing
from flowformers.export.samples import samples_of
from flowformers.export.signatures import signatures_of
from flowformers.export.verify import verify
from flowformers.export.warmup import write_warmup
from flowformers.progress import stage


def write_saved_model(
    model: Any,
    base: Path,
    *,
    version: int = 1,
    signatures: Any = None,
    tokenizer: Any = None,
    default_signature: str = "ids",
    examples: bool | None = None,
    min_serving: str | None = None,
    graph: Graph | None = None,
    text_options: Mapping[str, Any] | None = None,
) -> Path:
    """Write base/<version>/{saved_model.pb, variables, assets, assets.extra} and return that folder.

    The new SavedModel is written to a temporary folder, reloaded and compared with the model, and only then takes the
    place of an older one. tokenizer, text_options and examples add signatures, see signatures_of. min_serving: a
    TensorFlow Serving release ("2.12") that must be able to load it. graph: how weights are stored and the model is
    run, variables unless given. Raises ExportError (no space, no permission, an op that no such release has) or
    VerificationFailed; the old export stays.
    """
    if int(version) < 0:
        raise ExportError(f"expected a version of 0 or more; got {version}")
    if min_serving is not None:
        parse_release(min_serving)
    target = base / str(int(version))
    with tracing(model, graph or DEFAULT) as variables:
        functions = signatures_of(
            model,
            signatures,
            tokenizer=tokenizer,
            default_signature=default_signature,
            examples=examples,
            text_options=text_options,
        )
    methods = {name: method_of(function) for name, function in functions.items()}
    samples = samples_of(functions, model.config.vocab_size)
    with replacing(target) as fresh:
        with stage("Writing the SavedModel"):
            _save([weight.value for weight in model.weights] + variables, functions, fresh)
            check(saved_model.finish(fresh, methods), min_serving)
            write_warmup(fresh, samples, methods)
        with stage("Comparing the SavedModel with the model"):
            verify(fresh, functions, samples, optimised=model.precision == "fp32")
    return target


def _save(variables: Sequence[Any], functions: dict[str, Any], folder: Path) -> None:
    """variables: those that the functions may read."""
    module = tf.Module()
    # A function's variables must hang on the saved object; the Keras model itself would drag in its own machinery.
    # Not function.variables: those that were only read to prepare others are among them.
    captured = {id(tensor) for function in functions.values() for tensor in function.captured_inputs}
    module.weights = [variable for variable in variables if id(variable.handle) in captured]
    (folder / "assets").mkdir()
    tf.saved_model.save(module, str(folder), signatures=functions)


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A fresh folder that becomes `target` when the block ends well; otherwise `target` is untouched.

    The fresh folder is kept where what it holds answers differently, and removed after any other failure.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as error:
        raise ExportError(f"can't write to {target.parent}: {error.strerror or error}") from error
    try:
        yield fresh
        _swap(fresh, target)
    except VerificationFailed:
        raise
    except (OSError, tf.errors.OpError) as error:
        shutil.rmtree(fresh, ignore_errors=True)
        reason = getattr(error, "strerror", None) or getattr(error, "message", None) or error
        raise ExportError(f"could not write {target}: {reason}. What stood there before is unchanged") from error
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def _swap(fresh: Path, target: Path) -> None:
    fresh.chmod(0o755)
    if not target.exists():
        fresh.rename(target)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{target.name}-old-", dir=target.parent)) / target.name
    target.rename(old)
    try:
        fresh.rename(target)
    except OSError:
        old.rename(target)
        raise
    shutil.rmtree(old.parent, ignore_errors=True)
