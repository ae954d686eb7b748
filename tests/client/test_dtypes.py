"""The rarer dtypes: what gRPC carries, and what JSON can't."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import tensorflow as tf

from flowformers.client import TensorInfo
from flowformers.errors import InvalidInput, MissingDependency
from tests.client.conftest import made
from tests.serving.conftest import serve

BFLOAT16 = tf.bfloat16.as_numpy_dtype
DTYPES = [tf.complex64, tf.complex128, tf.bfloat16, tf.half, tf.uint16, tf.uint64]


@pytest.fixture(scope="module")
def mirror(tmp_path_factory):
    """The model "mirror": a signature for each dtype, which gives back what it gets."""
    module, folder = tf.Module(), tmp_path_factory.mktemp("mirror")
    signatures = {
        dtype.name: tf.function(lambda x: {"y": tf.identity(x)}, [tf.TensorSpec([None], dtype, name="x")])
        for dtype in DTYPES
    }
    tf.saved_model.save(module, str(folder / "1"), signatures=signatures)
    with serve(folder, model_name="mirror") as server:
        yield server


@pytest.fixture(params=["grpc", "grpc-async"])
def client(request, mirror):
    with made(request.param, mirror, "mirror") as client:
        yield client


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        ("complex64", [1 + 2j, -3.5]),
        ("complex64", np.complex128([1 + 2j, 0])),
        ("complex128", [0.1 + 0.2j]),
        ("complex64", [1, True]),
        ("bfloat16", [1.0, -2.5]),
        ("bfloat16", np.array([1, 0.5], BFLOAT16)),
        ("bfloat16", [3, -4]),
        ("float16", np.array([1, 0.5], BFLOAT16)),
        ("uint64", [1, 2**63]),
        ("uint64", [0, 2**64 - 1]),
    ],
)
def test_numbers_of_every_dtype_come_back_over_grpc(client, dtype, value):
    answer = client.predict({"x": value}, signature=dtype)["y"]
    assert answer.dtype.name == dtype
    assert answer.tolist() == np.asarray(value, answer.dtype).tolist()


@pytest.mark.parametrize(
    ("dtype", "value", "text"),
    [
        ("bfloat16", [1j], r"x: expected bfloat16 \[\?\]; got complex128"),
        ("complex64", ["1j"], r"x: expected complex64 \[\?\]; got <U2"),
        ("uint64", [-1, 2**63], "x: expected uint64"),
        ("uint64", [1, 2**64], "x: expected uint64"),
        ("uint64", [1.5, 2**63], r"x: expected uint64 \[\?\]; got float64"),
    ],
)
def test_what_a_dtype_can_not_hold_is_refused(client, dtype, value, text):
    with pytest.raises(InvalidInput, match=text):
        client.predict(value, signature=dtype)


def test_metadata_of_both_protocols_names_bfloat16(mirror, kind):
    with made(kind, mirror, "mirror") as client:
        assert client.metadata().signatures["bfloat16"].inputs == {"x": TensorInfo("bfloat16", (None,))}


@pytest.mark.parametrize("dtype", ["complex64", "complex128", "bfloat16", "float16", "uint16"])
def test_rest_says_which_numbers_it_can_not_carry(mirror, dtype):
    text = f"x: {dtype} has no JSON form; use a grpc:// address"
    with made("rest", mirror, "mirror") as client, pytest.raises(InvalidInput, match=text):
        client.predict([1], signature=dtype)


def test_bfloat16_without_its_package_says_what_to_install(mirror, monkeypatch):
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with made("grpc", mirror, "mirror") as client, pytest.raises(MissingDependency, match="pip install ml-dtypes"):
        client.predict([1.0], signature="bfloat16")
