"""saved_model.pb as a message: what tf.saved_model.save has no option for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2

from flowformers.errors import CheckpointError
from flowformers.export.compatibility import nodes

FILE = "saved_model.pb"
DEBUGGING = {"VarHandleOp": ("debug_name",)}  # op -> attributes that change no answer


def read(path: Path) -> Any:
    """The SavedModel message of a saved_model.pb. Raises CheckpointError for a file that is not one."""
    try:
        return saved_model_pb2.SavedModel.FromString(path.read_bytes())
    except DecodeError as error:
        raise CheckpointError(f"{path} is not a SavedModel: {error}") from error


def finish(folder: Path, methods: Mapping[str, str]) -> Any:
    """Give signatures their method names, and drop what older releases do not know. Returns the GraphDef as it is now.

    tf.saved_model.save calls every signature one of Predict, and TensorFlow from 2.15 on notes a name for debugging in
    each variable, an attribute that older releases log as an error and ignore.
    """
    from tensorflow.python.saved_model.fingerprinting_utils import write_fingerprint

    message = read(folder / FILE)
    (meta,) = message.meta_graphs
    for name, method in methods.items():
        meta.signature_def[name].method_name = method
    for node in nodes(meta.graph_def):
        for attribute in DEBUGGING.get(node.op, ()):
            node.attr.pop(attribute, None)
    (folder / FILE).write_bytes(message.SerializeToString(deterministic=True))
    write_fingerprint(str(folder))  # it is a hash of what was just changed
    return meta.graph_def
