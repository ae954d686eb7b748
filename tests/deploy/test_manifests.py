"""What deploy/ says is valid and fits the server: names of flags, ports and paths. Nothing here needs a cluster."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from flowformers.cli import main
from flowformers.serving import Settings
from tests.environments import environment, run_in
from tests.serving.conftest import Arithmetic, Client

DEPLOY = Path(__file__).parents[2] / "deploy"
DOCKERFILES = sorted((DEPLOY / "docker").glob("*Dockerfile"))
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
KSERVE = sorted((DEPLOY / "kserve").glob("*.yaml"))
OURS = [DEPLOY / "kubernetes" / "flowformers.yaml", DEPLOY / "kserve" / "serving-runtime.yaml"]


def documents(*paths):
    return [
        pytest.param(document, id=f"{path.stem}-{document['kind']}")
        for path in paths
        for document in yaml.safe_load_all(path.read_text())
    ]


def pod(document):
    """The pod of a Deployment, or the spec of a ServingRuntime, which is one."""
    spec = document["spec"]
    return spec["template"]["spec"] if "template" in spec else spec


def runs_ours(container):
    return container["image"].startswith("flowformers-serving")


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_dockerfiles_pass_hadolint(path):
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, "--no-color", path], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("version", ["1.30", "1.36"])
@pytest.mark.parametrize("document", documents(*MANIFESTS))
def test_manifests_are_what_kubernetes_takes(document, version):
    import kubernetes_validate

    kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize("document", documents(*MANIFESTS, *KSERVE))
def test_our_flags_are_ones_the_server_has(document):
    known = set(Settings.__dataclass_fields__)
    for container in pod(document).get("containers", []) if "spec" in document else []:
        flags = [re.match(r"--(\w+)", flag)[1] for flag in container.get("args", []) if runs_ours(container)]
        assert set(flags) <= known


@pytest.mark.parametrize("document", documents(*MANIFESTS))
def test_services_and_scalers_point_at_what_is_there(document):
    parts = {"Deployment": [], "Service": []}
    path = next(path for path in MANIFESTS if document in list(yaml.safe_load_all(path.read_text())))
    for other in yaml.safe_load_all(path.read_text()):
        parts.setdefault(other["kind"], []).append(other)
    deployment = parts["Deployment"][0]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    ports = {port["name"]: port["containerPort"] for port in pod(deployment)["containers"][0]["ports"]}
    assert ports == {"grpc": 8500, "http": 8501}
    if document["kind"] == "Service":
        assert document["spec"]["selector"].items() <= labels.items()
        assert {port["targetPort"] for port in document["spec"]["ports"]} == set(ports)
    if document["kind"] == "HorizontalPodAutoscaler":
        assert document["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]


@pytest.mark.parametrize("document", documents(*MANIFESTS, *KSERVE))
def test_probes_ask_paths_that_answer(document, arithmetic):
    for container in filter(runs_ours, pod(document).get("containers", [])):
        probes = [probe["httpGet"]["path"] for name, probe in container.items() if name.endswith("Probe")]
        assert probes
        assert {arithmetic.http(path).status for path in probes} == {200}


@pytest.mark.parametrize("document", documents(*MANIFESTS, *KSERVE))
def test_tensorflow_serving_gets_as_many_threads_as_the_limit_has_cpus(document):
    """Our server counts by the limit itself."""
    containers = [one for one in pod(document).get("containers", []) if "limits" in one.get("resources", {})]
    assert containers or document["kind"] not in ("Deployment", "ServingRuntime")
    for container in containers:
        if runs_ours(container):
            continue
        assert f"--tensorflow_intra_op_parallelism={container['resources']['limits']['cpu']}" in container["args"]


def test_compose_mounts_a_folder_whatever_its_name():
    """In the short form SOURCE:TARGET, Compose takes a source that begins with no . / or ~ for a volume's name."""
    service = yaml.safe_load((DEPLOY / "docker" / "compose.yaml").read_text())["services"]["bert"]
    (mount,) = service["volumes"]
    assert (mount["type"], mount["target"], mount["read_only"]) == ("bind", "/models/bert", True)
    assert mount["source"].endswith("/saved_model")
    default = re.fullmatch(r"\$\{MODEL:-(.+)\}/saved_model", mount["source"])[1]
    assert (DEPLOY / "docker" / default).resolve() == DEPLOY.parent / "my_model"


@pytest.mark.parametrize("document", documents(*MANIFESTS, *KSERVE))
def test_containers_need_no_rights(document):
    for container in pod(document).get("containers", []):
        context = pod(document).get("securityContext", {}) | container["securityContext"]
        assert (context["runAsNonRoot"], context["runAsUser"] > 0) == (True, True)
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.stem)
def test_the_drain_fits_into_the_grace_period(path):
    document = next(yaml.safe_load_all(path.read_text()))
    (container,) = filter(runs_ours, pod(document)["containers"])
    pause = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    given = dict(flag[2:].split("=", 1) for flag in container["args"] if "=" in flag)
    drain = float(given.get("drain_seconds", Settings.drain_seconds))
    assert pod(document).get("terminationGracePeriodSeconds", 30) >= pause + drain + 5


def test_the_drain_fits_into_composes_grace_period():
    compose = yaml.safe_load((DEPLOY / "docker" / "compose.yaml").read_text())["services"]["bert"]
    assert int(compose["stop_grace_period"].rstrip("s")) >= Settings.drain_seconds + 5


def dockerfile(name):
    """The instructions of the last stage: [(name, rest), ...]."""
    lines = (DEPLOY / "docker" / name).read_text().replace("\\\n", "").splitlines()
    pairs = [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]
    last = max(index for index, pair in enumerate(pairs) if pair[0] == "FROM")
    return pairs[last:]


def test_the_images_command_serves_what_is_mounted_and_ends_in_a_drain(tmp_path):
    """The container's own command line, with another folder for /models and free ports."""
    Arithmetic().save(tmp_path / "math" / "1")
    instructions = dict(dockerfile("Dockerfile"))
    words = json.loads(instructions["ENTRYPOINT"])
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"MODEL_BASE_PATH": str(tmp_path), "MODEL_NAME": "math", "PATH": path}
    process = subprocess.Popen(
        [*words, "--port=-1", "--rest_api_port=-1"], stderr=subprocess.PIPE, text=True, env=environment
    )
    try:
        log = ""
        while "Ready: model math" not in log:
            line = process.stderr.readline()
            assert line, log
            log += line
        rest, grpc = re.search(r"REST http://0\.0\.0\.0:(\d+)/\S+  gRPC 0\.0\.0\.0:(\d+)", log).groups()
        assert Client(int(rest), int(grpc)).json("/v1/models/math:predict", {"instances": [3.0]})[0] == 200
        process.terminate()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def test_the_images_health_check_asks_the_server(arithmetic):
    words = json.loads(dict(dockerfile("Dockerfile"))["HEALTHCHECK"].partition("CMD")[2])
    command = [sys.executable, *words[1:-1], words[-1].replace(":8501", f":{arithmetic.rest_port}")]
    assert subprocess.run(command, check=False).returncode == 0
    command[-1] = words[-1].replace(":8501", ":1")
    assert subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode != 0


FAKE_DOCKER = """#!/bin/sh
echo "docker $*" >> "$DOCKER_LOG"
"""


@pytest.mark.parametrize(("tag", "extra"), [([], ""), (["latest-gpu"], " --gpus all")])
def test_the_articles_steps_are_the_articles(tmp_path, tag, extra):
    """The commands that the script would run: Docker itself is not among what the tests have."""
    (tmp_path / "docker").write_text(FAKE_DOCKER)
    (tmp_path / "docker").chmod(0o755)
    (tmp_path / "model" / "saved_model" / "1").mkdir(parents=True)
    (tmp_path / "model" / "saved_model" / "1" / "saved_model.pb").touch()
    log = tmp_path / "log"
    environment = os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "DOCKER_LOG": str(log)}
    script = [DEPLOY / "docker" / "article.sh", tmp_path / "model", "bert", *tag]
    subprocess.run(script, check=True, env=environment)
    image = f"tensorflow/serving:{tag[0] if tag else 'latest'}"
    assert log.read_text().splitlines() == [
        f"docker pull {image}",
        f"docker run -d --name serving_base {image}",
        f"docker cp {tmp_path}/model/saved_model serving_base:/models/bert",
        "docker commit --change ENV MODEL_NAME bert serving_base my_bert",
        "docker rm -f serving_base",
        f"docker run -d -p 8501:8501 -p 8500:8500{extra} --name bert my_bert",
    ]


def test_the_articles_script_says_what_is_missing(tmp_path):
    script = [DEPLOY / "docker" / "article.sh", tmp_path, "bert"]
    done = subprocess.run(script, capture_output=True, text=True)
    assert done.returncode == 1
    assert "flowformers export" in done.stderr


def test_kserve_asks_for_a_runtime_that_is_there():
    (service,) = yaml.safe_load_all((DEPLOY / "kserve" / "inference-service.yaml").read_text())
    runtimes = {
        one["metadata"]["name"]: one["spec"]
        for one in yaml.safe_load_all((DEPLOY / "kserve" / "serving-runtime.yaml").read_text())
    }
    model = service["spec"]["predictor"]["model"]
    runtime = runtimes[model["runtime"]]
    assert model["protocolVersion"] in runtime["protocolVersions"]
    assert model["modelFormat"]["name"] in [one["name"] for one in runtime["supportedModelFormats"]]


@pytest.mark.slow
def test_kserve_manifests_have_only_keys_that_kserve_has():
    python = environment("kserve", "kubernetes>=31", "six", alone=("kserve>=0.15",))
    found = run_in(python, Path(__file__).with_name("kserve_schema.py"), *KSERVE)
    assert found.splitlines() == ["InferenceService bert", "ServingRuntime flowformers", "ServingRuntime tf-serving"]


def test_kserves_command_is_one_the_command_line_takes():
    runtime = next(yaml.safe_load_all((DEPLOY / "kserve" / "serving-runtime.yaml").read_text()))
    (container,) = runtime["spec"]["containers"]
    words = container["command"][1:] + [word.replace("{{.Name}}", "bert") for word in container["args"]]
    with pytest.raises(SystemExit, match="0"):
        main([*words, "--help"])
    assert shlex.join(words).startswith("serve /mnt/models --model_name=bert")
