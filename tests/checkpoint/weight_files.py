"""Weight files as other programs write them, made by hand: PyTorch is not needed."""

from __future__ import annotations

import json
import pickle
import sys
import types
import zipfile
from collections import OrderedDict
from pathlib import Path
from unittest.mock import patch

import numpy as np

STORAGES = {"float32": "FloatStorage", "float16": "HalfStorage", "uint16": "BFloat16Storage", "int64": "LongStorage"}


class Storage:
    """The flat numbers of a torch storage; bfloat16 as uint16."""

    def __init__(self, numbers):
        self.numbers = np.ascontiguousarray(numbers).reshape(-1)


class Tensor:
    """What torch.save pickles for a tensor: a call of _rebuild_tensor_v2. stride counts elements."""

    def __init__(self, storage, shape, stride, offset=0):
        self.parts = storage, offset, tuple(shape), tuple(stride)

    def __reduce__(self):
        rebuild = sys.modules["torch._utils"]._rebuild_tensor_v2
        return rebuild, (*self.parts, False, OrderedDict())


def tensor(array):
    return Tensor(Storage(array), array.shape, [step // array.itemsize for step in np.ascontiguousarray(array).strides])


class TorchPickler(pickle.Pickler):
    def __init__(self, file, torch):
        super().__init__(file, protocol=2)
        self.torch, self.storages = torch, []

    def persistent_id(self, item):
        if not isinstance(item, Storage):
            return None
        if item not in self.storages:
            self.storages.append(item)
        kind = getattr(self.torch, STORAGES[item.numbers.dtype.name])
        return "storage", kind, str(self.storages.index(item)), "cpu", item.numbers.size


def write_bin(path: Path, tensors, *, wrap=lambda state: state, compression=zipfile.ZIP_STORED):
    """pytorch_model.bin as torch.save writes it. tensors: arrays or Tensors; wrap: what to pickle in its place."""
    state = OrderedDict((name, x if isinstance(x, Tensor) else tensor(x)) for name, x in tensors.items())
    state._metadata = OrderedDict({"": {"version": 1}})  # as Module.state_dict() leaves it
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for name in STORAGES.values():
        setattr(torch, name, type(name, (), {"__module__": "torch"}))
    utils._rebuild_tensor_v2 = types.FunctionType((lambda *_: None).__code__, {}, "_rebuild_tensor_v2")
    utils._rebuild_tensor_v2.__module__ = "torch._utils"
    utils._rebuild_tensor_v2.__qualname__ = "_rebuild_tensor_v2"
    torch._utils = utils
    with (
        zipfile.ZipFile(path, "w", compression) as archive,
        patch.dict(sys.modules, {"torch": torch, utils.__name__: utils}),
    ):
        with archive.open("archive/data.pkl", "w") as file:
            pickler = TorchPickler(file, torch)
            pickler.dump(wrap(state))
        archive.writestr("archive/version", "3\n")
        for key, storage in enumerate(pickler.storages):
            archive.writestr(f"archive/data/{key}", storage.numbers.tobytes())


def write_pickle(path: Path, content: bytes):
    """An archive like torch.save's around a pickle of one's own."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", content)


def write_safetensors(path: Path, tensors, *, dtype=None, metadata=None):
    """model.safetensors byte by byte. dtype: the format's name for arrays NumPy can't name (BF16)."""
    header, data = {"__metadata__": metadata} if metadata else {}, b""
    for name, x in tensors.items():
        kind = dtype or f"{x.dtype.kind.upper()}{8 * x.itemsize}"
        content = np.ascontiguousarray(x).tobytes()
        header[name] = {"dtype": kind, "shape": list(x.shape), "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def write_shards(folder: Path, name: str, tensors, write):
    """Two files and the index that names them: every other tensor in each."""
    stem, suffix = name.split(".")
    weight_map = {}
    for number in (1, 2):
        file = f"{stem}-{number:05}-of-00002.{suffix}"
        part = dict(list(tensors.items())[number - 1 :: 2])
        write(folder / file, part)
        weight_map |= dict.fromkeys(part, file)
    index = {"metadata": {"total_size": sum(x.nbytes for x in tensors.values())}, "weight_map": weight_map}
    (folder / f"{name}.index.json").write_text(json.dumps(index))


def truncated_to_bfloat16(array):
    """(bits as uint16, the float32 they mean)."""
    bits = (np.ascontiguousarray(array).view(np.uint32) >> 16).astype(np.uint16)
    return bits, (bits.astype(np.uint32) << 16).view(np.float32)
