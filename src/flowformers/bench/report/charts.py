"""One SVG for each table: operations a second, so that the machine's ceiling can be drawn in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flowformers.bench.peers import PEERS
from flowformers.bench.report.results import Outcome, dense_flops, flops
from flowformers.errors import MissingDependency

SIZE = (9, 4.8)


def write_charts(outcomes: Mapping[str, Outcome], folder: Path) -> None:
    """folder/SCENARIO.svg. Raises MissingDependency without matplotlib."""
    try:
        import matplotlib
    except ImportError as error:
        raise MissingDependency("charts need matplotlib: pip install 'flowformers[bench]'") from error
    matplotlib.use("svg")
    # The same results give the same file.
    matplotlib.rcParams["svg.hashsalt"] = "flowformers"
    for outcome in outcomes.values():
        if outcome.timings:
            _chart(outcome, folder / f"{outcome.name}.svg")


def _chart(outcome: Outcome, path: Path) -> None:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=SIZE, layout="constrained")
    if outcome.ceiling is not None:
        rates = _rates(outcome, outcome.ceiling, dense_flops)
        axes.plot(*rates, color="black", linestyle="--", linewidth=1, label=PEERS[outcome.ceiling].label)
    for peer in outcome.peers:
        own = peer.startswith("flowformers")
        axes.plot(*_rates(outcome, peer, flops), marker="o", linewidth=3 if own else 1.2, label=PEERS[peer].label)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("GFLOP/s of the model at real tokens")
    axes.set_title(outcome.title)
    axes.grid(axis="y", alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize="small")
    figure.savefig(path, format="svg", metadata={"Date": None})
    pyplot.close(figure)


def _rates(outcome: Outcome, peer: str, count: Any) -> tuple[list[str], list[float]]:
    """Case names and GFLOP/s."""
    table, model = outcome.table, outcome.session.model
    timed = [case for case in outcome.cases if (case.name, peer) in table]
    return [case.name for case in timed], [count(case, model) / table[case.name, peer].seconds / 1e9 for case in timed]
