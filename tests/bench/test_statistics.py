"""From seconds to the numbers of a table."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flowformers.bench.records import Timing
from flowformers.bench.statistics import geometric_mean, mean_speed, percentile, results, summarise

few = st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=20)


def timing(peer, case, number, *seconds):
    return Timing("article", case, peer, number, seconds)


def test_a_cell_is_the_median_of_the_rounds_medians():
    rounds = [timing("a", "x", 0, 1.0, 9.0, 1.2), timing("a", "x", 1, 5.0), timing("a", "x", 2, 2.0, 2.0)]
    result = results(rounds)["x", "a"]
    assert (result.seconds, result.rounds) == (2.0, 3)
    assert result.spread == pytest.approx((5.0 - 1.2) / 2.0)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(few)
def test_a_geometric_mean_lies_within_its_values(values):
    assert min(values) * (1 - 1e-9) <= geometric_mean(values) <= max(values) * (1 + 1e-9)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(few, st.floats(0.01, 1.0))
def test_a_percentile_is_a_value_that_so_many_do_not_exceed(values, share):
    found = percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values)


def test_mean_speed_is_above_one_for_the_faster():
    table = results(
        [timing(peer, case, 0, t) for peer, case, t in [("a", "x", 1), ("a", "y", 4), ("b", "x", 2), ("b", "y", 2)]]
    )
    assert mean_speed(table, ["x"], "a", "b") == 2.0
    assert mean_speed(table, ["x", "y"], "a", "b") == pytest.approx(1.0)


def test_a_peer_that_missed_a_case_has_no_mean():
    assert mean_speed(results([timing("a", "x", 0, 1.0)]), ["x", "y"], "a", "a") is None


def test_one_round_has_no_spread():
    assert summarise([3.0]).spread == 0.0
