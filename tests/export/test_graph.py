"""However a graph is stored and run, it answers as the model does, and neighbours never change an answer."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf

import flowformers
from flowformers.errors import InvalidInput
from flowformers.export import Batching, Graph
from tests.conftest import IDS, MASK, tiny_config

TOLERANCE = 1e-5
CONSTANTS = Graph(weights="constants")


@pytest.fixture
def model(classifier):
    """With every number drawn: fresh biases are zeros, which would hide a bias that is lost."""
    random = np.random.default_rng(7)
    for weight in classifier.weights:
        weight.assign(random.normal(scale=0.3, size=weight.shape) + (weight.name == "gamma"))
    return classifier


def export(model, folder, **options):
    model.save_pretrained(folder, saved_model=True, **options)
    return tf.saved_model.load(str(folder / "saved_model" / "1"))


def logits(loaded, batch):
    answer = loaded.signatures["serving_default"](**{key: tf.constant(x, tf.int32) for key, x in batch.items()})
    return answer["logits"].numpy()


def one_row(batch, row):
    length = int(batch["attention_mask"][row].sum())
    return {name: value[row : row + 1, :length] for name, value in batch.items()}


def dense(model, batch):
    """The plain dense path: every position computed."""
    return model(batch, output_hidden_states=True).logits.numpy()


GRAPHS = [
    pytest.param(CONSTANTS, id="constants"),
    pytest.param(Graph(weights="variables"), id="variables"),
    pytest.param(Graph(attention="by_length"), id="by length"),
    pytest.param(Graph(weights="constants", batching=Batching()), id="batching"),
    pytest.param(Graph(weights="variables", batching=Batching()), id="batching variables"),
    pytest.param(Graph(device="gpu"), id="gpu"),
]


@pytest.mark.parametrize("graph", GRAPHS)
def test_every_way_of_running_equals_the_dense_path_and_no_neighbour_counts(model, batch, tmp_path, graph):
    loaded = export(model, tmp_path, graph=graph)
    together = logits(loaded, batch)
    np.testing.assert_allclose(together, dense(model, batch), atol=TOLERANCE)
    for row in range(len(IDS)):
        alone = logits(loaded, one_row(batch, row))
        np.testing.assert_allclose(alone, together[row : row + 1], atol=TOLERANCE)


@pytest.mark.parametrize("sizes", [(16, 512), (512, 24), (512, 512)], ids=str)
@pytest.mark.parametrize("activation", ["gelu", "relu", "silu"])
def test_kernels_with_spare_columns_change_no_answer(batch, tmp_path, sizes, activation):
    """Rows of 512 numbers fall onto the same places of a cache, so an export spreads them out."""
    hidden, inner = sizes
    config = tiny_config(hidden_size=hidden, intermediate_size=inner, hidden_act=activation)
    model = flowformers.TFBertForSequenceClassification(config)
    random = np.random.default_rng(3)
    for weight in model.weights:
        weight.assign(weight + random.normal(scale=0.05, size=weight.shape))
    np.testing.assert_allclose(logits(export(model, tmp_path), batch), dense(model, batch), atol=TOLERANCE)
    stored = dict(tf.train.list_variables(str(tmp_path / "saved_model" / "1" / "variables" / "variables")))
    assert [544] in [shape[-1:] for shape in stored.values()]


@pytest.mark.parametrize("graph", [Graph(batching=Batching()), Graph(device="gpu"), CONSTANTS])
@pytest.mark.parametrize(
    "head",
    [
        "Model",
        "ForTokenClassification",
        *(pytest.param(f"For{name}", marks=pytest.mark.slow) for name in ("QuestionAnswering", "MaskedLM")),
    ],
)
def test_answers_for_each_token_keep_the_requests_length(tmp_path, batch, head, graph):
    model = getattr(flowformers, f"TFBert{head}")(tiny_config())
    loaded = export(model, tmp_path, graph=graph).signatures["serving_default"]
    served = loaded(**{key: tf.constant(x, tf.int32) for key, x in batch.items()})
    for name, expected in model(batch).items():
        got = served[name].numpy()
        assert got.shape == expected.shape
        at = MASK == 1 if got.shape[:2] == MASK.shape else ...
        np.testing.assert_allclose(got[at], expected.numpy()[at], atol=TOLERANCE)


def test_concurrent_requests_of_different_lengths_run_together_and_answer_as_alone(model, batch, tmp_path):
    slow = Graph(batching=Batching(batch_timeout_micros=200_000, num_batch_threads=1))
    loaded = export(model, tmp_path, graph=slow)
    requests = [one_row(batch, index % len(IDS)) for index in range(12)]
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda request: logits(loaded, request), requests))
    for request, answer in zip(requests, answers, strict=True):
        np.testing.assert_allclose(answer, dense(model, request), atol=TOLERANCE)


def test_a_batch_larger_than_the_schedulers_is_cut_and_put_together(model, batch, tmp_path):
    loaded = export(model, tmp_path, graph=Graph(batching=Batching(max_batch_size=4)))
    many = {name: np.tile(value, (5, 1)) for name, value in batch.items()}
    np.testing.assert_allclose(logits(loaded, many), dense(model, many), atol=TOLERANCE)


def test_batching_refuses_a_sequence_longer_than_the_model_takes(model, tmp_path):
    loaded = export(model, tmp_path, graph=Graph(batching=Batching()))
    ones = np.ones((1, 13), np.int32)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"longer than the model.*limit of 12"):
        logits(loaded, {"input_ids": ones, "attention_mask": ones, "token_type_ids": ones * 0})


def test_constants_are_stored_once_however_many_signatures_there_are(tmp_path):
    model = flowformers.TFBertForSequenceClassification(tiny_config(vocab_size=60_000))
    export(model, tmp_path, graph=CONSTANTS)
    size = (tmp_path / "saved_model/1/saved_model.pb").stat().st_size
    assert 4 * model.num_parameters() < size < 4 * model.num_parameters() + 500_000
    assert sum(path.stat().st_size for path in (tmp_path / "saved_model/1/variables").iterdir()) < 10_000


def test_weights_are_variables_unless_told_and_stored_once(model, tmp_path):
    export(model, tmp_path)
    data = next((tmp_path / "saved_model/1/variables").glob("variables.data*"))
    assert 4 * model.num_parameters() <= data.stat().st_size < 4 * model.num_parameters() + 20_000


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"weights": "constant"}, "constants, variables"),
        ({"device": "tpu"}, "cpu, gpu"),
        ({"attention": "apart"}, "together, by_length"),
        ({"device": "gpu", "attention": "by_length"}, "can't be combined"),
        ({"device": "gpu", "batching": Batching()}, "can't be combined"),
    ],
)
def test_a_graph_that_can_not_be_is_an_error(options, words):
    with pytest.raises(InvalidInput, match=words):
        Graph(**options)


FUSED = """
import collections, numpy as np, tensorflow as tf, flowformers
from flowformers.export import Graph
from flowformers.export.graph import tracing
from flowformers.export.signatures import signatures_of
from tensorflow.python.eager import context
from tests.conftest import tiny_config
model = flowformers.TFBertForSequenceClassification(tiny_config(num_hidden_layers=3))
random = np.random.default_rng(7)
for weight in model.weights:
    weight.assign(random.normal(size=weight.shape))
with tracing(model, Graph({options})):
    function = signatures_of(model)["serving_default"]
context.context().enable_run_metadata()
function(**{{name: tf.ones([2, 5], tf.int32) for name in model.serving_inputs}})
graphs = [graph.post_optimization_graph for graph in context.context().export_run_metadata().function_graphs]
ops = max((collections.Counter(node.op for node in graph.node) for graph in graphs), key=lambda ops: sum(ops.values()))
print(ops["_FusedMatMul"], ops["MatMul"], ops["Erf"] + ops["Erfc"], ops["_MklFusedBatchMatMulV2"])
"""


@pytest.mark.parametrize(
    ("options", "counts"),
    [
        # Each of 3 layers: one product for query, key and value, then three more; pooler and classifier.
        pytest.param("weights='constants'", "14 0 0 3", id="constants", marks=pytest.mark.slow),
        pytest.param("weights='variables'", "14 0 0 3", id="variables"),
        pytest.param("attention='by_length'", "14 0 0 6", id="by length"),  # scores of long and of short sequences
    ],
)
def test_tensorflow_fuses_bias_gelu_and_the_scaled_masked_scores(options, counts):
    """Counted in the graph that TensorFlow's optimiser leaves, in a process where oneDNN is on."""
    environment = {"TF_ENABLE_ONEDNN_OPTS": "1", "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", FUSED.format(options=options)], capture_output=True, text=True, env=environment
    )
    assert done.stdout.strip() == counts, done.stderr
