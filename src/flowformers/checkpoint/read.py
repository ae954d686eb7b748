"""Open a checkpoint folder, whatever format its weights are in."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from flowformers.checkpoint.names import from_old
from flowformers.errors import CheckpointError, NotFound
from flowformers.types import Array


class Source(Protocol):
    """One weight file: names, shapes, and tensors read one at a time."""

    def names(self) -> Iterable[str]: ...

    def shape(self, name: str) -> tuple[int, ...]: ...

    def read(self, name: str) -> Array: ...

    def close(self) -> None: ...


Opener = Callable[[Path], Source]


def _safetensors(path: Path) -> Source:
    from flowformers.checkpoint.safetensors import SafetensorsFile

    return SafetensorsFile(path)


def _bin(path: Path) -> Source:
    from flowformers.checkpoint.torch_zip import TorchZip

    return TorchZip(path)


def _h5(path: Path) -> Source:
    from flowformers.checkpoint.h5 import H5File

    return H5File(path)


def _tf1(path: Path) -> Source:
    from flowformers.checkpoint.tf1 import TF1Checkpoint

    return TF1Checkpoint(path)


# Format, file, opener; in the order in which they are preferred. An index names the files of a sharded checkpoint.
Format = tuple[str, str, Opener]
FORMATS: tuple[Format, ...] = (
    ("safetensors", "model.safetensors", _safetensors),
    ("bin", "pytorch_model.bin", _bin),
    ("h5", "tf_model.h5", _h5),
    ("tf1", "bert_model.ckpt.index", _tf1),
)
POINTER = b"version https://git-lfs"  # how the files begin that `git clone` makes without Git LFS


class Checkpoint:
    """Every tensor of a checkpoint, by PyTorch's name and in PyTorch's layout, read lazily.

    path: the file, or the index of a sharded one. format: safetensors, bin, h5 or tf1.
    """

    def __init__(self, path: Path, format: str, sources: list[Source]) -> None:
        self.path, self.format = path, format
        self._sources = sources
        self._index = {
            from_old(name): (source, name)
            for source in sources
            for name in source.names()
            if not name.endswith("position_ids")  # a constant 0, 1, 2, ... that PyTorch used to save
        }

    def names(self) -> list[str]:
        """Every tensor, old names already made new."""
        return list(self._index)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape in PyTorch's layout."""
        source, stored = self._index[name]
        return source.shape(stored)

    def read(self, name: str) -> Array:
        """The tensor; half precision as float32."""
        source, stored = self._index[name]
        return source.read(stored)

    def close(self) -> None:
        """Let go of the files."""
        for source in self._sources:
            source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_checkpoint(folder: Path, *, use_safetensors: bool | None = None, from_pt: bool = False) -> Checkpoint:
    """Open the weights in a folder: safetensors, then pytorch_model.bin, then tf_model.h5, each whole or sharded; then
    Google's bert_model.ckpt.

    use_safetensors: True takes nothing else, False skips them. from_pt: PyTorch's formats only. Raises NotFound that
    names what was looked for and what is there, or CheckpointError where a file can't be read.
    """
    formats = [entry for entry in FORMATS if _wanted(entry[0], use_safetensors, from_pt)]
    found = next(_present(folder, formats), None)
    if found is not None:
        path, format, opener = found
        return Checkpoint(path, format, [opener(_whole(part)) for part in _parts(path)])
    present = sorted(path.name for path in folder.iterdir() if path.is_file())
    advice = ". Shards need the .index.json that belongs to them: download it, too"
    raise NotFound(
        f"expected {' or '.join(name for _, name, _ in formats)} (or its .index.json) in {folder}; "
        f"there is {', '.join(present) or 'nothing'}{advice if any('-of-' in name for name in present) else ''}"
    )


def _whole(path: Path) -> Path:
    """The file itself. Raises CheckpointError where git has left a pointer in its place."""
    with path.open("rb") as file:
        if file.read(len(POINTER)) == POINTER:
            raise CheckpointError(
                f"{path} is a pointer of Git LFS and not the file itself: run `git lfs pull` in {path.parent}, or "
                "download it from the Hub"
            )
    return path


def read_first(folder: Path) -> Path | None:
    """The file or index that open_checkpoint reads where nothing else is asked for; None where there is none."""
    return next((path for path, *_ in _present(folder, FORMATS)), None)


def _present(folder: Path, formats: Iterable[Format]) -> Iterator[tuple[Path, str, Opener]]:
    for format, name, opener in formats:
        for path in (folder / name, folder / f"{name}.index.json"):
            if path.is_file():
                yield path, format, opener


def _wanted(format: str, use_safetensors: bool | None, from_pt: bool) -> bool:
    if format == "safetensors":
        return use_safetensors is not False
    return not use_safetensors and not (from_pt and format in ("h5", "tf1"))


def _parts(path: Path) -> list[Path]:
    """The file itself, or the files that an index names."""
    if not path.name.endswith(".index.json"):
        return [path]
    try:
        shards = sorted(set(json.loads(path.read_text(encoding="utf-8"))["weight_map"].values()))
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, AttributeError, TypeError) as error:
        raise CheckpointError(f"expected a JSON object with a weight_map in {path}; {error!r}") from error
    files = [path.parent / Path(str(shard)).name for shard in shards]  # the folder's own files only
    absent = [file.name for file in files if not file.is_file()]
    if absent:
        raise NotFound(f"{path} names files that are not beside it: {', '.join(absent)}. Download them again")
    return files
