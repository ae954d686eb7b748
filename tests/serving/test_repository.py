"""The life of models and versions, with a loader that fails on demand. "protocol N" is a section of
docs/protocol.md."""

from __future__ import annotations

import contextlib
import threading

import pytest

from flowformers.errors import FlowformersError, InvalidInput, Kind, ServingError
from flowformers.serving import Settings
from flowformers.serving.lifecycle import State
from flowformers.serving.model_config import All, Latest, ModelConfig, Specific
from flowformers.serving.repository import Repository
from tests.serving.test_process import wait_for


class Loaded:
    """What a load makes: remembers whether it was closed."""

    def __init__(self, folder, version, settings):
        self.folder, self.version, self.closed = folder, version, False
        for name in ("broken", "odd"):
            if (folder / name).exists():
                raise {"broken": ServingError(Kind.DATA_LOSS, "broken"), "odd": ZeroDivisionError("odd")}[name]

    def warm_up(self, repeats):
        return 0

    def close(self):
        self.closed = True


def put(base, *versions, **broken):
    for version in versions:
        (base / str(version)).mkdir(parents=True)
        for name in broken.get("how", ()):
            (base / str(version) / name).touch()
    return base


@contextlib.contextmanager
def repository(*configs, load=Loaded, **options):
    defaults = {"model_base_path": configs[0].base_path, "file_system_poll_wait_seconds": 0, "max_num_load_retries": 0}
    made = Repository(Settings(**defaults | {"model_name": configs[0].name} | options), load=load)
    try:
        made.start()
        made.reload(configs)
        yield made
    finally:
        made.close()


def states(repository, name="m"):
    return {status.version: status.state for status in repository.statuses(name)}


def refusal(call, *arguments):
    with pytest.raises(ServingError) as caught:
        call(*arguments)
    return caught.value.kind, str(caught.value)


def version_of(repository, name="m", version=None, label=None):
    with repository.use(name, version, label) as servable:
        return servable.version


@pytest.mark.parametrize(
    ("policy", "wanted"),
    [(Latest(), {10}), (Latest(2), {9, 10}), (All(), {1, 9, 10}), (Specific(frozenset({1, 7})), {1})],
)
def test_a_policy_chooses_among_the_versions_on_disk(tmp_path, policy, wanted):  # protocol 14
    config = ModelConfig("m", put(tmp_path / "m", 1, 9, 10), policy)
    with repository(ModelConfig("m", tmp_path / "m"), policy and config) as served:
        wait_for(lambda: {v for v, state in states(served).items() if state is State.AVAILABLE} == wanted)
        assert version_of(served) == max(wanted)


@pytest.mark.parametrize(("name", "version"), [("00000123", 123), ("0", 0), ("7", 7)])
def test_a_folder_is_a_version_when_its_whole_name_is_a_number(tmp_path, name, version):  # protocol 14
    put(tmp_path / "m", name, "x1", "1.5", "1_0", "-3", "\u0663")
    (tmp_path / "m" / "99").touch()
    with repository(ModelConfig("m", tmp_path / "m", All())) as served:
        assert set(states(served)) == {version}


def test_every_version_stays_known_and_the_highest_comes_first(tmp_path):  # protocol 8, 14
    base = put(tmp_path / "m", 1)
    with repository(ModelConfig("m", base)) as served:
        put(base, 2)
        served.poll()
        wait_for(lambda: states(served) == {2: State.AVAILABLE, 1: State.END})
        assert [status.version for status in served.statuses("m")] == [2, 1]


def test_a_version_is_freed_when_its_last_request_is_done(tmp_path):  # protocol 14
    base = put(tmp_path / "m", 1)
    with repository(ModelConfig("m", base)) as served:
        with served.use("m") as old:
            put(base, 2)
            served.poll()
            wait_for(lambda: states(served)[1] is State.UNLOADING)
            assert version_of(served) == 2
            assert refusal(version_of, served, "m", 1)[0] is Kind.NOT_FOUND
            assert not old.closed
        wait_for(lambda: old.closed and states(served)[1] is State.END)


def test_a_version_that_cannot_be_closed_holds_up_nothing(tmp_path):
    class Stuck(Loaded):
        def close(self):
            raise RuntimeError("the session is gone")

    base = put(tmp_path / "m", 1)
    with repository(ModelConfig("m", base), load=Stuck) as served:
        put(base, 2)
        served.poll()
        wait_for(lambda: states(served) == {2: State.AVAILABLE, 1: State.END})
        put(base, 3)
        served.poll()
        wait_for(lambda: states(served)[2] is State.END)
    assert states(served)[3] is State.END


@pytest.mark.parametrize("how", ["broken", "odd"])
def test_a_broken_version_ends_with_its_error_and_the_good_one_serves(tmp_path, how):  # protocol 14
    base = put(tmp_path / "m", 1)
    with repository(ModelConfig("m", base)) as served:
        put(base, 2, how=[how])
        served.poll()
        wait_for(lambda: states(served)[2] is State.END)
        failed = served.statuses("m", 2)[0]
        assert (failed.kind is Kind.OK, how in failed.message) == (False, True)
        assert version_of(served) == 1


def test_a_failed_load_is_tried_again_and_shows_loading_meanwhile(tmp_path):  # protocol 8, 14
    base, tries = put(tmp_path / "m", 1), []

    def load(folder, version, settings):
        if version == 2 and tries.append(version) is None and len(tries) < 3:
            raise ServingError(Kind.UNAVAILABLE, "not yet")
        return Loaded(folder, version, settings)

    with repository(
        ModelConfig("m", base), load=load, max_num_load_retries=2, load_retry_interval_micros=200_000
    ) as served:
        put(base, 2)
        served.poll()
        wait_for(lambda: len(tries) == 1)
        assert states(served)[2] is State.LOADING
        wait_for(lambda: version_of(served) == 2)
        assert len(tries) == 3


def test_a_version_that_failed_for_good_is_tried_again_only_after_it_was_gone(tmp_path):  # protocol 14
    base = put(tmp_path / "m", 1)
    with repository(ModelConfig("m", base)) as served:
        put(base, 2, how=["broken"])
        served.poll()
        wait_for(lambda: states(served)[2] is State.END)
        (base / "2" / "broken").unlink()
        served.poll()
        assert states(served)[2] is State.END
        (base / "2").rename(base / "kept")
        served.poll()
        (base / "kept").rename(base / "2")
        served.poll()
        wait_for(lambda: states(served)[2] is State.AVAILABLE)


def test_a_base_path_that_is_gone_changes_nothing_but_an_empty_one_unloads(tmp_path):  # protocol 14
    base = put(tmp_path / "m", 1)
    with repository(ModelConfig("m", base)) as served:
        base.rename(tmp_path / "away")
        served.poll()
        assert version_of(served) == 1
        base.mkdir()
        served.poll()
        wait_for(lambda: states(served)[1] is State.END)


def test_a_reload_replaces_the_whole_config(tmp_path):  # protocol 14
    one, two = ModelConfig("one", put(tmp_path / "one", 1)), ModelConfig("two", put(tmp_path / "two", 5))
    with repository(one) as served:
        served.reload([two])
        assert (version_of(served, "two"), served.models()) == (5, ["two"])
        wait_for(lambda: states(served, "one") == {1: State.END})
        served.reload([two, one])
        assert version_of(served, "one") == 1


def test_a_model_that_comes_back_while_a_request_holds_it_is_loaded_anew(tmp_path):  # protocol 14
    one, two = ModelConfig("one", put(tmp_path / "one", 1)), ModelConfig("two", put(tmp_path / "two", 1))
    with repository(one, two) as served:
        with served.use("one") as old:
            served.reload([two])
            wait_for(lambda: states(served, "one") == {1: State.UNLOADING})
            served.reload([one, two])
            with served.use("one") as new:
                assert (new is old, old.closed) == (False, False)
        wait_for(lambda: old.closed)
        assert (states(served, "one"), new.closed) == ({1: State.AVAILABLE}, False)


def test_a_new_model_that_cannot_be_loaded_fails_the_reload_but_not_the_others(tmp_path):  # protocol 11, 14
    good, bad = put(tmp_path / "good", 1), put(tmp_path / "bad", 1, how=["broken"])
    with repository(ModelConfig("good", good)) as served:
        kind, text = refusal(
            served.reload,
            [ModelConfig("good", good), ModelConfig("bad", bad), ModelConfig("absent", tmp_path / "absent")],
        )
        assert (kind, "model(s) did not become available" in text, "broken" in text) == (Kind.UNKNOWN, True, True)
        assert str(tmp_path / "absent") in text
        assert version_of(served, "good") == 1
        put(tmp_path / "absent", 4)
        served.poll()
        wait_for(served.models)
        wait_for(lambda: states(served, "absent") == {4: State.AVAILABLE})


def test_labels_stand_for_versions_and_move_with_a_reload(tmp_path):  # protocol 14
    base = put(tmp_path / "m", 1, 2)

    def labelled(**labels):
        return [ModelConfig("m", base, All(), labels)]

    with repository(ModelConfig("m", base, All())) as served:
        wait_for(lambda: set(states(served).values()) == {State.AVAILABLE})
        served.reload(labelled(stable=1, canary=2))
        assert (version_of(served, label="stable"), version_of(served, label="canary")) == (1, 2)
        kind, text = refusal(served.reload, labelled(stable=3))
        assert (kind, "not currently available for inference" in text) == (Kind.FAILED_PRECONDITION, True)
        assert version_of(served, label="stable") == 1
        served.reload(labelled(stable=2))
        assert version_of(served, label="stable") == 2
        assert refusal(version_of, served, "m", None, "canary") == (
            Kind.INVALID_ARGUMENT,
            "Unrecognized servable version label: canary",
        )


def test_a_label_on_a_version_that_went_is_not_found(tmp_path):  # protocol 14
    base = put(tmp_path / "m", 1, 2)
    with repository(ModelConfig("m", base), ModelConfig("m", base, All())) as served:
        pass
    options = {"allow_version_labels_for_unavailable_models": True}
    with repository(ModelConfig("m", base, Latest(), {"gone": 1}), **options) as served:
        assert refusal(version_of, served, "m", None, "gone")[0] is Kind.NOT_FOUND


def test_the_first_config_may_not_have_labels_without_the_flag(tmp_path):  # protocol 1
    base = put(tmp_path / "m", 1)
    config = tmp_path / "models.config"
    config.write_text(
        f'model_config_list {{ config {{ name: "m" base_path: "{base}" model_platform: "tensorflow" '
        'version_labels { key: "stable" value: 1 } } }'
    )
    for allowed in (False, True):
        settings = Settings(model_config_file=config, allow_version_labels_for_unavailable_models=allowed)
        served = Repository(settings, load=Loaded)
        try:
            if allowed:
                served.start()
                assert version_of(served, label="stable") == 1
            else:
                assert refusal(served.start)[0] is Kind.FAILED_PRECONDITION
        finally:
            served.close()


@pytest.mark.parametrize("trouble", ["nonsense", "unreadable"])
def test_a_polled_config_file_is_applied_and_a_bad_one_ignored(tmp_path, monkeypatch, caplog, trouble):  # protocol 14
    put(tmp_path / "a", 1), put(tmp_path / "b", 1)
    config = tmp_path / "models.config"

    def write(*names):
        lines = [
            f'config {{ name: "{name}" base_path: "{tmp_path / name}" model_platform: "tensorflow" }}' for name in names
        ]
        config.write_text(f"model_config_list {{ {' '.join(lines)} }}")

    def refuse(path, **options):
        raise PermissionError(13, "Permission denied", str(path))

    write("a")
    served = Repository(Settings(model_config_file=config, model_config_file_poll_wait_seconds=0.1), load=Loaded)
    try:
        served.start()
        assert served.models() == ["a"]
        with monkeypatch.context() as patch:
            if trouble == "unreadable":  # said so, since root may read everything
                patch.setattr(type(config), "read_text", refuse)
            else:
                config.write_text("model_config_list { nonsense")
            wait_for(lambda: "is not used" in caplog.text)
        assert served.models() == ["a"]
        write("a", "b")
        wait_for(lambda: served.models() == ["a", "b"] and served.ready())
    finally:
        served.close()


LOGGING = 'config { name: "m" base_path: "/m" model_platform: "tensorflow" logging_config { %s } }'


@pytest.mark.parametrize(
    ("config", "fragment"),
    [
        ('config { name: "m" base_path: "/m" model_platform: "tensorflow" }' * 2, "multiple times"),
        ('config { name: "m" base_path: "m" model_platform: "tensorflow" }', "absolute path"),
        ('config { name: "m" base_path: "/m" }', "platform"),
        ('config { name: "m" base_path: "/m" model_platform: "caffe" }', "platform"),
        ('config { name: "m" base_path: "/m" model_platform: "tensorflow" model_type: TENSORFLOW }', "not both"),
        ('config { name: "m" base_path: "gs://m" model_platform: "tensorflow" }', "a path of this machine.*gs://m"),
        (LOGGING % "sampling_config { sampling_rate: 0.1 }", "sampling_rate 0.1.*this server can't write"),
        (LOGGING % "sampling_config { per_task_sampling_configs { sampling_rate: 1 } }", "logging_config"),
        ("config { nonsense: 1 }", "nonsense"),
    ],
)
def test_a_config_that_cannot_be_served_says_why(tmp_path, config, fragment):  # protocol 11, 13
    path = tmp_path / "models.config"
    path.write_text(f"model_config_list {{ {config} }}")
    with pytest.raises(FlowformersError, match=fragment):
        Settings(model_config_file=path).models()


@pytest.mark.parametrize(
    "config",
    [
        LOGGING % 'log_collector_config { type: "a" filename_prefix: "/b" } sampling_config { sampling_rate: 0 }',
        'config { name: "m" base_path: "file:///m" model_platform: "tensorflow" }',
    ],
)
def test_a_config_may_have_a_log_of_nothing_and_the_uri_of_a_folder(tmp_path, config):  # protocol 13
    path = tmp_path / "models.config"
    path.write_text(f"model_config_list {{ {config} }}")
    (model,) = Settings(model_config_file=path).models()
    assert (model.name, str(model.base_path)) == ("m", "/m")


def test_an_empty_config_file_serves_nothing(tmp_path):  # protocol 13
    (tmp_path / "models.config").touch()
    assert Settings(model_config_file=tmp_path / "models.config").models() == ()


def test_requests_during_swaps_never_miss(tmp_path):  # protocol 14
    base = put(tmp_path / "m", 1)
    with repository(ModelConfig("m", base)) as served:
        missed, done = [], threading.Event()

        def ask():
            while not done.is_set():
                with contextlib.suppress(StopIteration):
                    try:
                        with served.use("m") as servable:
                            assert not servable.closed
                    except (ServingError, AssertionError) as error:
                        missed.append(error)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for version in range(2, 12):
            put(base, version)
            served.poll()
            wait_for(lambda version=version: states(served)[version] is State.AVAILABLE)
        done.set()
        for thread in threads:
            thread.join()
        assert not missed


@pytest.mark.parametrize("wrong", [{}, {"model_config_file_poll_wait_seconds": -1, "model_base_path": "/m"}])
def test_settings_without_a_model_or_with_negative_times_are_refused(wrong):
    with pytest.raises(InvalidInput):
        Settings(**wrong).models()
