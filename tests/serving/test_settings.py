"""Settings: four sources, TensorFlow Serving's names and defaults. "protocol N" is a section of docs/protocol.md."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowformers.cli import main
from flowformers.errors import FlowformersError, InvalidInput
from flowformers.serving import Settings
from flowformers.serving.settings import REFUSED
from flowformers.serving.sources import PREFIX, collect, kinds, parse, read_toml, to_toml

# As in docs/protocol.md, section 12. Not the same on purpose: the address (127.0.0.1), REST on at 8501.
DEFAULTS = {
    "port": 8500,
    "rest_api_timeout_in_ms": 30000,
    "rest_api_enable_cors_support": False,
    "model_config_file_poll_wait_seconds": 0,
    "model_name": "default",
    "saved_model_tags": "serve",
    "file_system_poll_wait_seconds": 1,
    "num_load_threads": 0,
    "num_unload_threads": 0,
    "max_num_load_retries": 5,
    "load_retry_interval_micros": 60_000_000,
    "flush_filesystem_caches": True,
    "allow_version_labels_for_unavailable_models": False,
    "enable_batching": False,
    "enable_per_model_batching_parameters": False,
    "enable_model_warmup": True,
    "num_request_iterations_for_warmup": 0,
    "tensorflow_session_parallelism": 0,
    "tensorflow_intra_op_parallelism": 0,
    "tensorflow_inter_op_parallelism": 0,
    "per_process_gpu_memory_fraction": 0,
    "mixed_precision": "",
}
SERVINGS_FLAGS = [
    *DEFAULTS,
    "grpc_socket_path",
    "grpc_channel_arguments",
    "grpc_max_threads",
    "rest_api_num_threads",
    "enable_grpc_healthcheck_service",
    "enable_signature_method_name_check",
    "enable_serialization_as_tensor_content",
    "ssl_config_file",
    "model_config_file_poll_wait_seconds",
    "enable_profiler",
    "use_alts_credentials",
    "model_config_file",
    "model_base_path",
    "batching_parameters_file",
    "monitoring_config_file",
    "tensorflow_session_config_file",
    "platform_config_file",
    "remove_unused_fields_from_bundle_metagraph",
    "thread_pool_factory_config_file",
    "prefer_tflite_model",
    "num_tflite_pools",
    "num_tflite_interpreters_per_pool",
    "xla_cpu_compilation_enabled",
    "xla_gpu_compilation_enabled",
    "skip_initialize_tpu",
    "rest_api_port",
]


@pytest.mark.parametrize("name", DEFAULTS)
def test_defaults_are_tensorflow_servings(name):  # protocol 12
    assert getattr(Settings(), name) == DEFAULTS[name]


@pytest.mark.parametrize("name", SERVINGS_FLAGS)
def test_every_flag_of_tensorflow_serving_is_honoured_or_refused_with_a_reason(name):  # protocol 12
    assert name in kinds()


@pytest.mark.parametrize("name", REFUSED)
def test_a_flag_that_cannot_be_honoured_says_why(name):  # protocol 12
    default, reason = REFUSED[name]
    other = str(not default) if isinstance(default, bool) else "7"
    with pytest.raises(InvalidInput) as caught:
        parse(name, other, f"--{name}")
    assert reason in str(caught.value)
    assert parse(name, str(default), f"--{name}") == default


def test_flags_come_before_environment_before_file_before_defaults(tmp_path):
    file = tmp_path / "serve.toml"
    file.write_text('port = 1\nrest_api_port = 2\nmodel-name = "file"\nenable_batching = true\n')
    environ = {PREFIX + "REST_API_PORT": "3", PREFIX + "PORT": "4", PREFIX + "CACHE": "not a setting"}
    found = Settings(**collect({"port": 5}, environ, file))
    assert (found.port, found.rest_api_port, found.model_name, found.enable_batching) == (5, 3, "file", True)
    assert found.drain_seconds == Settings().drain_seconds


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("prot = 1", "did you mean port"),
        ("port = 'many'", "whole number as port"),
        ("port = [1]", "expected text, a number"),
        ("enable_batching = 'perhaps'", "true or false"),
        ("port = ", "no TOML"),
        ("use_alts_credentials = true", "can't be honoured"),
    ],
)
def test_a_file_that_cannot_be_used_says_where_and_why(tmp_path, text, fragment):
    file = tmp_path / "serve.toml"
    file.write_text(text)
    with pytest.raises(InvalidInput, match=fragment):
        collect({}, {}, file)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "port": st.integers(1, 8000),
            "model_name": st.text(st.characters(exclude_characters="/:", exclude_categories=["Cs", "Cc"]), min_size=1),
            "model_config_file": st.none() | st.just("/a/b.config"),
            "drain_seconds": st.floats(0, 1e9),
            "enable_batching": st.booleans(),
        },
    )
)
def test_what_print_config_prints_gives_the_same_settings(tmp_path_factory, values):
    file = tmp_path_factory.mktemp("toml") / "serve.toml"
    file.write_text(to_toml(Settings(**values)), encoding="utf-8")
    again = {name: str(value) if value is not None else None for name, value in collect({}, {}, file).items()}
    assert again | {} == {
        name: str(value) if value is not None else None
        for name, value in dataclasses.asdict(Settings(**values)).items()
    }
    assert set(read_toml(file)) == {field.name for field in dataclasses.fields(Settings)}


@pytest.mark.parametrize("flag", ["--rest_api_timeout_in_ms=7", "--rest-api-timeout-in-ms=7"])
def test_the_command_takes_both_spellings_and_prints_the_config(capsys, tmp_path, monkeypatch, flag):
    monkeypatch.setenv("FLOWFORMERS_PORT", "4242")
    assert main(["serve", str(tmp_path / "model"), flag, "--enable_batching", "--print_config"]) == 0
    out = capsys.readouterr().out
    for line in ("rest_api_timeout_in_ms = 7", "port = 4242", 'model_name = "model"', "enable_batching = true"):
        assert line in out.splitlines()


def test_one_dash_does_for_a_flag(capsys):  # protocol 1
    assert main(["serve", "-port=8600", "-enable_batching", "-model_name", "a", "my_model", "--print_config"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for line in ("port = 8600", "enable_batching = true", 'model_name = "a"', 'model_base_path = "my_model"'):
        assert line in lines


def test_a_link_that_kubernetes_makes_of_a_service_is_no_setting(caplog):
    environ = {PREFIX + "PORT": "tcp://10.0.0.1:8500", PREFIX + "REST_API_PORT": "tcp://10.0.0.2:80"}
    assert collect({}, environ | {PREFIX + "DRAIN_SECONDS": "5"}, None) == {"drain_seconds": 5}
    assert "FLOWFORMERS_PORT=tcp://10.0.0.1:8500 is ignored" in caplog.text
    with pytest.raises(InvalidInput, match="whole number as FLOWFORMERS_PORT"):
        collect({}, {PREFIX + "PORT": "many"}, None)


def test_the_same_port_for_both_is_grpcs(caplog):  # protocol 1
    settings = Settings(port=8600, rest_api_port=8600)
    assert (settings.port, settings.rest_api_port) == (8600, 0)
    assert "REST is off" in caplog.text
    assert Settings(port=-1, rest_api_port=-1).rest_api_port == -1


def test_a_negative_step_between_looks_at_the_disk_is_none():  # protocol 12
    assert Settings(file_system_poll_wait_seconds=-1).file_system_poll_wait_seconds == 0
    assert parse("file_system_poll_wait_seconds", "-1", "--file_system_poll_wait_seconds") == -1


@pytest.mark.parametrize("uri", ["file:///a/b", "file://localhost/a/b", "/a/b"])
def test_a_path_may_be_the_uri_of_a_file(uri):  # protocol 12
    assert str(parse("model_base_path", uri, "--model_base_path")) == "/a/b"


def test_a_flag_without_effect_starts_the_server_with_a_warning(capsys, caplog):  # protocol 12
    assert main(["serve", "--enable_profiler=true", "my_model", "--print_config"]) == 0
    assert "--enable_profiler is ignored: ProfilerService is not served" in caplog.text
    caplog.clear()
    assert main(["serve", "--enable_profiler=false", "my_model", "--print_config"]) == 0
    assert not caplog.text


def test_a_boolean_flag_does_not_swallow_the_model(capsys):  # protocol 1
    for flags in (["--enable_batching"], ["--enable-batching"], ["--enable_batching=true"], ["--enable_batching=1"]):
        assert main(["serve", *flags, "my_model", "--print_config"]) == 0
        out = capsys.readouterr().out
        assert ("enable_batching = true" in out, 'model_name = "my_model"' in out) == (True, True)


@pytest.mark.parametrize(
    ("words", "fragment"),
    [
        (["--port=many", "m"], "expected a whole number as --port; got 'many'"),
        (["--use_alts_credentials", "m"], "can't be honoured"),
        (["--model_base_path=gs://bucket/m"], "--model_base_path: expected a path of this machine or file:///PATH"),
        (["--model_base_path=file://elsewhere/m"], "expected a path of this machine"),
        (["--enable_batching=perhaps", "m"], "true or false"),
        ([], "expected MODEL"),
        (["--nonsense=1", "m"], "nonsense"),
    ],
)
def test_wrong_flags_are_wrong_usage(capsys, words, fragment):
    with pytest.raises(SystemExit, match="2"):
        main(["serve", *words])
    assert fragment in capsys.readouterr().err


@pytest.mark.parametrize(
    ("values", "fragment"),
    [
        ({"batching_parameters_file": "x"}, "enable_batching"),
        ({f"tensorflow_{name}_parallelism": 1 for name in ("session", "intra_op", "inter_op")}, "both"),
        ({"mixed_precision": "float16"}, "bfloat16"),
        ({"max_num_load_retries": -1}, "0 or more"),
        ({"model_config_file": "/no/such/file"}, "no such file"),
    ],
)
def test_combinations_that_cannot_work_are_refused(values, fragment):  # protocol 12
    from pathlib import Path

    with pytest.raises(FlowformersError, match=fragment):
        Settings(**{name: Path(value) if name.endswith("_file") else value for name, value in values.items()}).models()


def test_the_command_takes_a_model_or_a_config_file_not_both(capsys, tmp_path):
    assert main(["serve", str(tmp_path), f"--model_config_file={tmp_path}/x"]) == 1
    assert "not both" in capsys.readouterr().err


def test_the_version_of_serve_names_tensorflows(capsys):  # protocol 12
    with pytest.raises(SystemExit, match="0"):
        main(["serve", "--version"])
    assert "TensorFlow 2." in capsys.readouterr().out
