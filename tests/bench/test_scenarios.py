"""What is timed is what the tables say."""

from __future__ import annotations

import numpy as np
import pytest

from flowformers.bench import plan
from flowformers.bench.peers import ENVIRONMENTS, PEERS
from flowformers.bench.report.results import dense_flops, flops
from flowformers.bench.scenarios import SCENARIOS, Case, sentence_lengths
from flowformers.bench.timing import turn
from flowformers.errors import InvalidInput


def test_the_articles_table_is_length_128_at_eight_batch_sizes():
    shapes = [(len(case.requests[0]), set(case.requests[0])) for case in SCENARIOS["article"].cases]
    assert shapes == [(batch, {128}) for batch in (1, 2, 4, 8, 16, 32, 64, 128)]


def test_sentence_lengths_are_those_of_movie_reviews():
    lengths = sentence_lengths()
    assert len(lengths) == 1024
    assert (round(np.mean(lengths)), np.median(lengths), max(lengths)) == (27, 26, 72)


def test_requests_are_padded_to_their_longest_row_and_the_mask_says_where():
    ids, mask = Case("x", ((3, 1, 5),)).arrays(40)[0]
    assert ids.shape == mask.shape == (3, 5)
    assert mask.sum(axis=1).tolist() == [3, 1, 5]
    assert np.array_equal(ids != 0, mask == 1)
    assert (ids.dtype, mask.dtype) == (np.int32, np.int32)


def test_every_run_sends_the_same_requests():
    case = SCENARIOS["mixed"].cases[0]
    for one, other in zip(case.arrays(500), case.arrays(500), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_case_knows_how_much_of_it_is_padding():
    case = Case("x", ((3, 1, 5), (2,)))
    assert (case.sentences, case.tokens, case.padded) == (4, 11, 17)


def test_operations_are_those_of_bert_base():
    """22.4 GFLOP for one sequence of 128 tokens: 2 x 85 M weights x 128, and attention."""
    base = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12}
    case = Case("x", ((128,),))
    assert flops(case, base) == pytest.approx(22.4e9, rel=0.01)
    assert dense_flops(case, base) == pytest.approx(0.97 * flops(case, base), rel=0.01)


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=lambda one: one.name)
def test_every_scenarios_peers_exist_and_the_reference_takes_part(scenario):
    assert {PEERS[name].environment for name in scenario.peers} <= set(ENVIRONMENTS)
    assert scenario.reference in scenario.peers


def test_torch_is_pinned_wherever_it_is_installed():
    for environment in ENVIRONMENTS.values():
        torch = [one for one in environment.requirements if one.startswith("torch")]
        assert all("==" in one for one in torch)


def test_everybody_is_first_equally_often():
    names = ["a", "b", "c"]
    firsts = [turn(names, number)[0] for number in range(6)]
    assert sorted(firsts) == sorted(names * 2)
    assert all(sorted(turn(names, number)) == names for number in range(6))


def test_a_quick_run_has_fewer_cases_and_peers():
    quick, whole = plan([], None, quick=True), plan([], None, quick=False)
    assert set(quick.names) < set(whole.names)
    assert set(quick.peers_of("article")) < set(whole.peers_of("article"))
    assert [len(case.requests[0]) for case in SCENARIOS["article"].up_to(quick.tokens)] == [1, 2, 4, 8]
    assert SCENARIOS["article"].up_to(whole.tokens) == SCENARIOS["article"].cases


def test_a_plan_that_times_nothing_is_told():
    with pytest.raises(InvalidInput, match="article: no case has requests of at most 3 tokens"):
        plan(["article"], None, quick=False, tokens=3)


@pytest.mark.parametrize(("names", "peers", "unknown"), [(["nope"], None, "nope"), ([], ["jax"], "jax")])
def test_unknown_names_are_told_with_those_that_exist(names, peers, unknown):
    with pytest.raises(InvalidInput, match=rf"expected a (scenario|peer) of .*; got {unknown}"):
        plan(names, peers, quick=False)
