"""Write a SavedModel beside its place, prove it, then put it there."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tensorflow as tf

from flowformers.errors import ExportError
from flowformers.export.signatures import signatures_of
from flowformers.export.verify import verify
from flowformers.progress import stage


def write_saved_model(
    model: Any,
    base: Path,
    *,
    version: int = 1,
    signatures: Any = None,
    tokenizer: Any = None,
    default_signature: str = "ids",
) -> Path:
    """Write base/<version>/{saved_model.pb, variables, assets} and return that folder.

    The new SavedModel is written to a temporary folder, reloaded and compared with the model, and only then takes the
    place of an older one. tokenizer adds text signatures, see signatures_of. Raises ExportError (no space, no
    permission) or VerificationFailed; the old export stays.
    """
    if int(version) < 0:
        raise ExportError(f"expected a version of 0 or more; got {version}")
    target = base / str(int(version))
    functions = signatures_of(model, signatures, tokenizer=tokenizer, default_signature=default_signature)
    with replacing(target) as fresh:
        with stage("Writing the SavedModel"):
            _save(model, functions, fresh)
        with stage("Comparing the SavedModel with the model"):
            verify(fresh, functions, model)
    return target


def _save(model: Any, functions: dict[str, Any], folder: Path) -> None:
    module = tf.Module()
    # A function's variables must hang on the saved object; the Keras model itself would drag in its own machinery.
    module.weights = [weight.value for weight in model.weights]
    (folder / "assets").mkdir()
    tf.saved_model.save(module, str(folder), signatures=functions)


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A fresh folder that becomes `target` when the block ends well; on a failed write `target` is untouched."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as error:
        raise ExportError(f"can't write to {target.parent}: {error.strerror or error}") from error
    try:
        yield fresh
        _swap(fresh, target)
    except (OSError, tf.errors.OpError) as error:
        shutil.rmtree(fresh, ignore_errors=True)
        reason = getattr(error, "strerror", None) or getattr(error, "message", None) or error
        raise ExportError(f"could not write {target}: {reason}. What stood there before is unchanged") from error


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
