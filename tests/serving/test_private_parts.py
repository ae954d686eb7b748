"""What the server uses of other libraries without their promise: a release that changes it fails here, by name."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import tensorflow as tf
import uvicorn
from tensorflow.core.protobuf import config_pb2
from tensorflow.python.client import pywrap_tf_session
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


@pytest.fixture
def session():
    with tf.compat.v1.Session(graph=tf.Graph()) as made:
        yield made


def half(session):
    """Feed and fetch in TensorFlow's own form."""
    with session.graph.as_default():
        x = tf.compat.v1.placeholder(tf.float32, [2])
        y = x / 2
    session._extend_graph()
    return x._as_tf_output(), y._as_tf_output()


def options(**given):
    return pywrap_tf_session.TF_NewBufferFromString(config_pb2.RunOptions(**given).SerializeToString())


def test_a_session_runs_feeds_of_any_shape_with_options_of_each_run(session):
    x, y = half(session)
    for given in ({"timeout_in_ms": 1000}, {"inter_op_thread_pool": -1}):
        (found,) = session._call_tf_sessionrun(options(**given), {x: np.float32([1, 2, 3])}, [y], [], None)
        assert found.tolist() == [0.5, 1.0, 1.5]


def test_no_public_way_to_run_takes_feeds_of_any_shape(session):
    """Should this fail, runs.py can do without private methods."""
    with session.graph.as_default():
        x = tf.compat.v1.placeholder(tf.float32, [2])
        y = x / 2
    with pytest.raises(ValueError, match="Cannot feed value of shape"):
        session.make_callable(y, [x])([1.0, 2.0, 3.0])


@pytest.mark.parametrize(
    "name",
    [
        "connection_made",
        "connection_lost",
        "data_received",
        "on_message_begin",
        "on_headers_complete",
        "on_body",
        "on_message_complete",
        "_start_asgi_task",
        "_unset_keepalive_if_required",
    ],
)
def test_uvicorns_protocol_has_the_callbacks_that_ours_extends(name):
    assert callable(getattr(HttpToolsProtocol, name))


def test_uvicorn_takes_a_protocol_and_has_signal_handlers_to_leave_out():
    assert "http" in inspect.signature(uvicorn.Config).parameters
    assert callable(uvicorn.Server.capture_signals)
