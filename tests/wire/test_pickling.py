"""Messages travel between processes: Ray and multiprocessing pickle them."""

from __future__ import annotations

import pickle
import subprocess
import sys

SCRIPT = """
import pickle, sys
from flowformers.wire import {module}  # only the stubs: what a gRPC proxy has
from flowformers.wire.descriptors import message_class
request = message_class({module}.SERVICE.methods_by_name[{method!r}].input_type)()
request.model_spec.name = "bert"
sys.stdout.buffer.write(pickle.dumps(request))
assert "tensorflow" not in sys.modules
"""


def pickled(module, method):
    script = SCRIPT.format(module=module, method=method)
    return subprocess.run([sys.executable, "-c", script], check=True, capture_output=True).stdout


def test_requests_come_back_as_they_went_and_import_no_tensorflow():
    for module, method in (
        ("prediction_service_pb2_grpc", "Predict"),
        ("prediction_service_pb2_grpc", "GetModelMetadata"),
        ("model_service_pb2_grpc", "GetModelStatus"),
    ):
        found = pickle.loads(pickled(module, method))
        assert found.model_spec.name == "bert"
        assert type(found).__module__.startswith("flowformers.wire.")
