"""Message classes of TensorFlow Serving's protocol, in protobuf's default pool.

TensorFlow registers tensor.proto and others in the same pool, and two different definitions of one file clash. So each
file is registered with the definition of the installed package that owns it (TensorFlow, tensorflow-serving-api),
read from its files without importing it, and with our own only where nothing is installed. A TensorProto made by
tf.make_tensor_proto is then of the very class that PredictRequest holds, whatever was imported first.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory, wrappers_pb2

WELL_KNOWN = {module.DESCRIPTOR.name for module in (any_pb2, wrappers_pb2)}
APIS = "tensorflow_serving/apis/"  # the files that have a module beside this one
SERIALIZED = re.compile(r"AddSerializedFile\((b'(?:[^'\\]|\\.)*'|b\"(?:[^\"\\]|\\.)*\")\)", re.DOTALL)


@cache
def _own() -> dict[str, bytes]:
    """Our definitions by file name."""
    compiled = descriptor_pb2.FileDescriptorSet()
    compiled.ParseFromString((files(__package__) / "protos.binpb").read_bytes())
    return {file.name: file.SerializeToString() for file in compiled.file}


def _installed(name: str) -> bytes | None:
    """The definition inside an installed package's generated module, found without running it."""
    spec = find_spec(name.split("/", 1)[0])
    for location in (spec.submodule_search_locations if spec else None) or ():
        path = Path(location).parent / name.replace(".proto", "_pb2.py")
        found = SERIALIZED.search(path.read_text(encoding="utf-8")) if path.is_file() else None
        if found:
            content = ast.literal_eval(found.group(1))
            return content if isinstance(content, bytes) else None
    return None


@cache
def register(name: str) -> None:
    """Put a file and all that it imports into the default pool."""
    if name in WELL_KNOWN:
        return
    content = _installed(name) or _own().get(name)
    if content is None:
        return  # a well-known type of protobuf's own
    for dependency in descriptor_pb2.FileDescriptorProto.FromString(content).dependency:
        register(dependency)
    descriptor_pool.Default().AddSerializedFile(content)


def message(file: str, name: str) -> Any:
    """The class of a message."""
    register(file)
    return message_factory.GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(name))


def messages(file: str) -> dict[str, Any]:
    """Every message class of a file by its short name."""
    register(file)
    found = descriptor_pool.Default().FindFileByName(file).message_types_by_name
    return {name: message_class(descriptor) for name, descriptor in found.items()}


def message_class(descriptor: Any) -> Any:
    """The class of a descriptor, under the module where pickle finds it again, in another process too."""
    found = message_factory.GetMessageClass(descriptor)
    if not found.__module__ and descriptor.file.name.startswith(APIS):
        found.__module__ = f"{__package__}.{Path(descriptor.file.name).stem}_pb2"
    return found


def getter(file: str) -> Callable[[str], Any]:
    """The __getattr__ of a module that has the messages of a file."""
    found = messages(file)

    def __getattr__(name: str) -> Any:
        if name in found:
            return found[name]
        raise AttributeError(f"{file} has {', '.join(found)}; there is no {name!r}")

    return __getattr__


def service(file: str, name: str) -> Any:
    """The descriptor of a service."""
    register(file)
    return descriptor_pool.Default().FindServiceByName(name)


@cache
def _private(file: str) -> descriptor_pool.DescriptorPool:
    """A pool of its own, for protocols whose clients bring definitions of the same names under other files."""
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(_own()[file])
    return pool


def private_messages(file: str) -> dict[str, Any]:
    """As messages(), and free of clashes with whatever else is in the process."""
    found = _private(file).FindFileByName(file).message_types_by_name
    return {name: message_factory.GetMessageClass(descriptor) for name, descriptor in found.items()}


def private_service(file: str, name: str) -> Any:
    """As service(), in the pool of private_messages()."""
    private_messages(file)
    return _private(file).FindServiceByName(name)
