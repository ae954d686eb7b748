"""Ray Serve and Ray Data run on one machine, in an environment of their own."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import numpy as np
import pytest

from flowformers.deploy.ray import application
from flowformers.deploy.ray.scoring import Scorer
from flowformers.deploy.ray.serving import REFUSED, Replica
from flowformers.errors import InvalidInput, MissingDependency, NotFound
from flowformers.serving import Settings
from flowformers.wire import regression_pb2
from tests.environments import ROOT, environment, run_in
from tests.serving.conftest import Arithmetic
from tests.serving.test_grpc import request

SCRIPT = Path(__file__).with_name("ray_app.py")


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(MissingDependency, match=r"pip install 'flowformers\[cpu,ray\]'"):
        application("my_model")


# A replica and a scorer are made here as Ray makes them.


@pytest.fixture
def replica(tmp_path):
    """Makes a replica of settings, version 3 of "math"."""
    made = []

    def make(**settings):
        Arithmetic().save(tmp_path / "math" / "3")
        made.append(Replica({"model_base_path": tmp_path / "math", "model_name": "math"} | settings))
        return made[-1]

    yield make
    for one in made:
        one.repository.close()


class RayContext:
    """What Ray hands to a replica of a gRPC call."""

    def __init__(self, **metadata):
        self._metadata, self.code, self.text = metadata, None, ""

    def invocation_metadata(self):
        return [(name.replace("_", "-"), value) for name, value in self._metadata.items()]

    def set_trailing_metadata(self, pairs):
        pass

    def set_code(self, code):
        self.code = code

    def set_details(self, text):
        self.text = text


def predict(replica, **metadata):
    return asyncio.run(replica.Predict(request("math", x=[1.0]), RayContext(**metadata)))


def test_a_replica_asks_for_a_key_over_grpc_too(replica, tmp_path):
    (tmp_path / "keys").write_text("first\n")
    made = replica(api_key_file=tmp_path / "keys")
    for key in ({"x_api_key": "first"}, {"authorization": "Bearer first"}):
        assert list(predict(made, **key).outputs["y"].float_val) == [0.5]
    for method in (made.Predict, made.GetModelStatus, made.HandleReloadConfigRequest):
        context = RayContext(x_api_key="second")
        with pytest.raises(RuntimeError, match="API key"):
            asyncio.run(method(request("math", x=[1.0]), context))
        assert (context.code, "API key" in context.text) == (grpc.StatusCode.UNAUTHENTICATED, True)


def test_a_replica_answers_as_its_settings_say(replica):
    made = replica(enable_serialization_as_tensor_content=True, enable_signature_method_name_check=True)
    assert predict(made).outputs["y"].tensor_content == np.float32([0.5]).tobytes()
    context, asked = RayContext(), regression_pb2.RegressionRequest()
    asked.model_spec.name = "math"
    asked.input.example_list.examples.add()
    with pytest.raises(RuntimeError, match="method_name"):
        asyncio.run(made.Regress(asked, context))


@pytest.mark.parametrize(
    ("setting", "way_out"),
    [
        ({"rest_api_port": 80}, "http_options"),
        ({"port": 9000}, "grpc_options"),
        ({"ssl_config_file": Path("tls.txt")}, "in front of them"),
        ({"drain_seconds": 5.0}, "graceful_shutdown_timeout_s"),
        ({"enable_access_log": True}, "logging_config"),
    ],
)
def test_what_rays_proxies_do_is_refused_with_the_way_out(setting, way_out):
    with pytest.raises(InvalidInput, match=f"{next(iter(setting))}=.* can't be honoured on Ray: .*{way_out}"):
        application("my_model", **setting)


def test_every_refused_setting_is_one():
    assert set(REFUSED) <= set(Settings.__dataclass_fields__)


def test_a_folder_without_versions_is_an_error_and_no_wait_without_end(tmp_path):
    with pytest.raises(NotFound, match="no such folder"):
        Replica({"model_base_path": tmp_path / "mistyped"})
    with pytest.raises(NotFound, match="numbered versions"):
        Scorer(str(tmp_path), "text", {}, 1)


@pytest.mark.slow
def test_ray_serves_and_scores(tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # else Ray leaves a token in the home folder
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    Arithmetic().save(tmp_path / "math" / "3")
    (tmp_path / "keys").write_text("first\n")
    python = environment("ray", f"--editable={ROOT}[cpu,ray]")
    assert run_in(python, SCRIPT, tmp_path / "math").endswith("done\n")
