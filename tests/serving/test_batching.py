"""Batching joins requests and never changes an answer. "protocol N" is a section of docs/protocol.md."""

from __future__ import annotations

import operator
import os
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf

from flowformers.errors import InvalidInput, Kind, ServingError
from flowformers.serving import Settings, batching
from flowformers.serving.batching_config import read_parameters
from flowformers.serving.servable import Servable
from tests.serving.conftest import Arithmetic, Client, serve

TOKENS = [tf.TensorSpec([None, None], tf.int32, name=name) for name in ("input_ids", "attention_mask")]
ROWS = {"size": 8, "wait": 100_000}


class Encoder(tf.Module):
    """Signatures of which a reader can work out what padding does."""

    def __init__(self):
        self.table = tf.Variable(tf.random.stateless_normal([50, 4], [1, 2]))
        self.words = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(["a", "b"], tf.constant([1, 2], tf.int64)), -1
        )

    def hidden(self, input_ids, attention_mask):
        with tf.control_dependencies([tf.debugging.assert_less(input_ids, 50)]):
            return tf.gather(self.table, input_ids) * tf.cast(attention_mask, tf.float32)[..., None]

    @tf.function(input_signature=TOKENS)
    def masked(self, input_ids, attention_mask):
        hidden = self.hidden(input_ids, attention_mask)
        length = tf.reduce_sum(tf.cast(attention_mask, tf.float32), -1, keepdims=True)
        pairs = tf.einsum("bsh,bth->bst", hidden, hidden)
        return {"pooled": tf.reduce_sum(hidden, 1) / length, "hidden": hidden, "pairs": pairs[:, None]}

    @tf.function(input_signature=TOKENS)
    def careless(self, input_ids, attention_mask):
        return {"pooled": tf.reduce_mean(tf.gather(self.table, input_ids), 1)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def text(self, text):
        return {"id": self.words.lookup(text)}

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.float32, name="x")])
    def total(self, x):
        return {"total": tf.reduce_sum(x, 1), "rows": tf.shape(x)[0]}

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.float32, name="x")])
    def size(self, x):
        return {"total": tf.reduce_sum(x, 1), "batch": tf.fill([tf.shape(x)[0]], tf.shape(x)[0])}


def parameters(folder, size=8, wait=0, more=""):
    path = folder / "batching.txt"
    path.write_text(
        f"max_batch_size {{ value: {size} }} batch_timeout_micros {{ value: {wait} }} num_batch_threads {{ value: 1 }} "
        + more
    )
    return path


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    base, model = tmp_path_factory.mktemp("encoder"), Encoder()
    names = ("masked", "careless", "text", "total", "size")
    tf.saved_model.save(model, str(base / "1"), signatures={name: getattr(model, name) for name in names})
    return base


@pytest.fixture(scope="module")
def both(saved, tmp_path_factory):
    """(joined, alone): one model with batches that wait for company, and without."""
    file = parameters(tmp_path_factory.mktemp("parameters"), **ROWS)
    joined = Servable(saved / "1", 1, Settings(enable_batching=True, batching_parameters_file=file))
    return joined, Servable(saved / "1", 1, Settings())


def run(servable, name, /, outputs=(), **inputs):
    signature = servable.signature(name)
    arrays = {key: np.asarray(value) for key, value in inputs.items()}
    return servable.run(signature, arrays, outputs or list(signature.outputs), timeout_ms=20_000)


def together(calls):
    """The outcomes of calls that start at one time."""
    barrier = threading.Barrier(len(calls))

    def outcome(call):
        barrier.wait()
        try:
            return call()
        except ServingError as error:
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(outcome, calls))


def tokens(length, rows=1, real=None):
    ids = np.arange(rows * length).reshape(rows, length).astype(np.int32) * 7 % 50
    return {"input_ids": ids, "attention_mask": (np.arange(length) < (real or length)) * np.ones_like(ids)}


@pytest.mark.parametrize("name", ["masked", "careless"])
def test_rows_of_any_length_share_batches_and_keep_their_answers(both, name):  # protocol 15
    joined, alone = both
    requests = [tokens(1 + i % 5, rows=1 + i % 2, real=1 + i % 3) for i in range(16)]
    found = together([lambda r=r: run(joined, name, **r) for r in requests])
    for request, answer in zip(requests, found, strict=True):
        for key, value in run(alone, name, **request).items():
            assert answer[key].shape == value.shape
            np.testing.assert_allclose(answer[key], value, atol=1e-6, rtol=0)


def test_strings_and_equal_shapes_run_in_one_batch(both):  # protocol 15
    joined, _ = both
    run(joined, "size", x=np.ones((1, 3), np.float32))  # the queue is made at the first use
    found = together([lambda i=i: run(joined, "size", x=np.full((1, 3), i, np.float32)) for i in range(8)])
    assert [float(answer["total"][0]) for answer in found] == [3.0 * i for i in range(8)]
    assert max(int(answer["batch"][0]) for answer in found) > 1
    words = np.array([b"a", b"b", b"c"], object)
    found = together([lambda i=i: run(joined, "text", text=words[i : i + 1]) for i in range(3)])
    assert [int(answer["id"][0]) for answer in found] == [1, 2, -1]


@pytest.fixture
def builds(monkeypatch):
    """The functions that queues are built from; the next one waits for the event that is put into the list."""
    found, build = [], batching.as_function

    def watched(*given):
        found.append(given)
        waiting.wait(10)
        return build(*given)

    waiting = threading.Event()
    waiting.set()
    monkeypatch.setattr(batching, "as_function", watched)
    return found, waiting


def test_nobody_waits_while_a_queue_is_built_for_another(saved, builds):
    """Queues add to one graph, which is not for two threads: the second request runs without one."""
    found, waiting = builds
    waiting.clear()
    servable = Servable(saved / "1", 1, Settings(enable_batching=True))
    x = np.ones((1, 3), np.float32)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(run, servable, "size", x=x, outputs=["total"])
        while not found:
            time.sleep(0.001)
        assert run(servable, "total", x=x, outputs=["total"])["total"].tolist() == [3]
        assert not first.done()
        waiting.set()
        assert first.result()["total"].tolist() == [3]
    servable.close()


def test_the_order_of_names_makes_no_other_queue(saved, builds):
    found, _ = builds
    servable = Servable(saved / "1", 1, Settings(enable_batching=True))
    x = np.ones((1, 3), np.float32)
    for outputs in (["total", "rows"], ["rows", "total"]):
        answer = run(servable, "total", x=x, outputs=outputs)
        assert (list(answer), answer["total"].tolist(), int(answer["rows"])) == (outputs, [3], 1)
    assert len(found) == 1
    servable.close()


def test_queues_end_at_a_number_and_answers_do_not(saved, builds, monkeypatch):
    """Each is a node in the graph for good."""
    found, _ = builds
    monkeypatch.setattr(batching, "MOST_QUEUES", 2)
    servable = Servable(saved / "1", 1, Settings(enable_batching=True))
    for width in (1, 2, 3, 4):
        assert run(servable, "total", x=np.ones((1, width), np.float32), outputs=["total"])["total"].tolist() == [width]
    assert len(found) == 2
    servable.close()


def test_different_shapes_without_a_mask_do_not_meet(both):  # protocol 15
    joined, _ = both
    found = together([lambda i=i: run(joined, "size", x=np.ones((1, 1 + i % 3), np.float32)) for i in range(6)])
    assert [float(answer["total"][0]) for answer in found] == [1 + i % 3 for i in range(6)]


def test_outputs_without_rows_are_answered_as_without_batching(both):  # protocol 15
    joined, _ = both
    answer = run(joined, "total", x=np.ones((2, 3), np.float32))
    assert (answer["total"].tolist(), int(answer["rows"])) == ([3, 3], 2)


def test_inputs_that_are_no_rows_are_answered_as_without_batching(both):  # protocol 15
    joined, _ = both
    assert run(joined, "size", x=np.zeros((0, 3), np.float32))["total"].shape == (0,)


def test_a_neighbours_mistake_costs_nobody_else(both):  # protocol 15
    joined, alone = both
    good, bad = tokens(4), tokens(4)
    bad["input_ids"][0, 1] = 99
    run(joined, "masked", **good)
    found = together([lambda r=r: run(joined, "masked", **r) for r in [bad, good, good, good]])
    assert isinstance(found[0], ServingError)
    assert found[0].kind is Kind.INVALID_ARGUMENT
    for answer in found[1:]:
        np.testing.assert_allclose(answer["pooled"], run(alone, "masked", **good)["pooled"], atol=1e-6, rtol=0)


def test_an_output_filter_has_its_own_queue(both):  # protocol 15
    joined, _ = both
    assert list(run(joined, "masked", outputs=["pooled"], **tokens(3))) == ["pooled"]


def test_a_request_above_the_largest_batch_is_refused_unless_it_may_be_split(saved, tmp_path):  # protocol 15
    x = np.ones((5, 2), np.float32)
    for more, fits in (
        ("", False),
        ("enable_large_batch_splitting { value: true } max_execution_batch_size { value: 2 }", True),
    ):
        size = 8 if fits else 4
        file = parameters(tmp_path, size=size, more=more)
        servable = Servable(saved / "1", 1, Settings(enable_batching=True, batching_parameters_file=file))
        if fits:
            assert run(servable, "size", x=x)["batch"].max() <= 2
        else:
            with pytest.raises(ServingError, match="larger than maximum input batch size 4"):
                run(servable, "size", x=x)
        servable.close()


def test_allowed_sizes_fill_the_batch_with_rows_that_do_not_come_back(saved, tmp_path):  # protocol 15
    file = parameters(tmp_path, more="allowed_batch_sizes: 4 allowed_batch_sizes: 8")
    servable = Servable(saved / "1", 1, Settings(enable_batching=True, batching_parameters_file=file))
    answer = run(servable, "size", x=np.ones((3, 2), np.float32))
    assert (answer["batch"].tolist(), answer["total"].tolist()) == ([4, 4, 4], [2, 2, 2])
    servable.close()


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("max_batch_size { value: 0 }", "max_batch_size of 1 or more"),
        ("allowed_batch_sizes: 4 allowed_batch_sizes: 2", "ascending"),
        ("max_batch_size { value: 8 } allowed_batch_sizes: 4", "expected 8 as the last"),
        ("nonsense: 1", "nonsense"),
        ("max_batch_size: 8", "max_batch_size"),
    ],
)
def test_parameters_that_cannot_work_say_why(tmp_path, text, fragment):  # protocol 13, 15
    (tmp_path / "p.txt").write_text(text)
    with pytest.raises(InvalidInput, match=fragment):
        read_parameters(tmp_path / "p.txt")


def test_defaults_are_tensorflow_servings(tmp_path):  # protocol 15
    (tmp_path / "p.txt").write_text('pad_variable_length_inputs: true thread_pool_name { value: "mine" }')
    found = read_parameters(tmp_path / "p.txt")
    assert (found.max_batch_size, found.batch_timeout_micros, found.max_enqueued_batches) == (1000, 0, 10)


def test_parameters_may_stand_in_the_version_folder(tmp_path):  # protocol 12
    model = Encoder()
    tf.saved_model.save(model, str(tmp_path / "1"), signatures={"size": model.size})
    (tmp_path / "1" / "batching_params.pbtxt").write_text("allowed_batch_sizes: 6 max_batch_size { value: 6 }")
    servable = Servable(tmp_path / "1", 1, Settings(enable_per_model_batching_parameters=True))
    assert run(servable, "size", x=np.ones((2, 2), np.float32))["batch"].tolist() == [6, 6]
    servable.close()


def test_rows_of_different_length_in_one_request_are_answered_as_if_alone(saved):  # protocol 4, 15
    rows = [tokens(length) for length in (3, 5, 3, 1)]
    named = [{name: value[0].tolist() for name, value in row.items()} for row in rows]
    with serve(saved, model_name="e", enable_batching=True) as server:
        client = Client(server.rest_port, server.grpc_port)
        for name in ("masked", "careless"):
            status, answer = client.json("/v1/models/e:predict", {"signature_name": name, "instances": named})
            assert status == 200, answer
            for row, found in zip(named, answer["predictions"], strict=True):
                _, alone = client.json("/v1/models/e:predict", {"signature_name": name, "instances": [row]})
                pick = operator.itemgetter("pooled") if name == "masked" else np.asarray
                np.testing.assert_allclose(pick(found), pick(alone["predictions"][0]), atol=1e-6, rtol=0)
        body = {"signature_name": "masked", "instances": [*named, {"input_ids": [1]}]}
        assert client.json("/v1/models/e:predict", body)[0] == 400


@pytest.fixture(scope="module")
def batched(tmp_path_factory):
    """A client of Arithmetic with batching on."""
    base = tmp_path_factory.mktemp("batched")
    Arithmetic().save(base / "3")
    with serve(base, model_name="math", enable_batching=True) as server:
        yield Client(server.rest_port, server.grpc_port)


@pytest.mark.parametrize(
    ("rows", "element"),
    [
        ([1, {"x": 2}], 1),
        ([{"x": 1}, [2]], 1),
        ([{"x": 1}, {"x": [1]}, {"y": 2}], 2),
        ([{"x": 1}, {"x": [1]}, {"x": 2, "y": 2}], 2),
        ([{"x": 1}, {"x": [1]}, {"x": ["a"]}], 2),
        ([1, [2], "a"], 2),
    ],
)
def test_a_row_that_does_not_fit_is_named_as_without_batching(arithmetic, batched, rows, element):  # protocol 4, 9, 15
    for client in (arithmetic, batched):
        status, answer = client.json("/v1/models/math:predict", {"instances": rows})
        assert status == 400
    assert re.match(rf"Failed to process element: {element}\b", answer["error"]), answer


def test_too_many_requests_are_answered_at_once_and_told_to_come_back(tmp_path):  # protocol 15
    Arithmetic().save(tmp_path / "math" / "1")
    file = parameters(tmp_path, size=1, more="max_enqueued_batches { value: 1 }")
    options = {"enable_batching": True, "batching_parameters_file": file, "rest_api_timeout_in_ms": 3000}
    with serve(tmp_path / "math", model_name="math", num_run_threads=8, **options) as server:
        client, answers = Client(server.rest_port, server.grpc_port), []

        def ask(i):
            time.sleep(0.2 * i)
            started = time.monotonic()
            answer = client.http("/v1/models/math:predict", {"signature_name": "slow", "instances": [1]})
            answers.append((answer.status, answer.headers["Retry-After"], time.monotonic() - started))

        threads = [threading.Thread(target=ask, args=(i,)) for i in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    refused = [(after, seconds) for status, after, seconds in answers if status == 429]
    assert refused
    assert all(after == "1" and seconds < 1 for after, seconds in refused)


def test_a_graph_that_batches_by_itself_gets_enough_requests_at_one_time(tmp_path):
    """Three times as many as a server of this machine runs at one time otherwise."""
    rows = 12 * (os.cpu_count() or 1)

    class Joining(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
        def sizes(self, x):
            # Nothing is run before so many rows have come, or five seconds have gone by.
            @tf.nondifferentiable_batch_function(1, rows, 5_000_000, autograph=False)
            def together(x):
                return tf.fill(tf.shape(x), tf.size(x))

            return {"rows": together(x)}

    model = Joining()
    tf.saved_model.save(model, str(tmp_path / "m" / "1"), signatures={"serving_default": model.sizes})
    with serve(tmp_path / "m", model_name="m") as server:
        client = Client(server.rest_port, server.grpc_port)
        with ThreadPoolExecutor(rows) as pool:
            asked = [pool.submit(client.json, "/v1/models/m:predict", {"inputs": [1.0]}) for _ in range(rows)]
            answers = [future.result() for future in asked]
    assert answers == [(200, {"outputs": [rows]})] * rows
