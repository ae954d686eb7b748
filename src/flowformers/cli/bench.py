"""flowformers bench: this package and its peers on this machine, in turn."""

from __future__ import annotations

import argparse
from pathlib import Path

from flowformers.cli.tensorflow import require_tensorflow


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--list", action="store_true", help="print the scenarios and peers, time nothing")
    instead.add_argument("--setup", action="store_true", help="make the peers' environments anew, time nothing")
    instead.add_argument("--render", action="store_true", help="write the report of OUT's results anew, time nothing")
    parser.add_argument("--scenario", metavar="NAME", action="append", default=[], help="repeatable (default: all)")
    parser.add_argument("--quick", action="store_true", help="few cases and peers: minutes")
    parser.add_argument("--peers", metavar="A,B", help="instead of the scenario's own")
    parser.add_argument("--max-tokens", metavar="N", type=_count, help="leave out cases with larger requests")
    parser.add_argument("--rounds", metavar="N", type=_count, default=3, help="turns at every case (default: 3)")
    parser.add_argument("--threads", metavar="N", type=_count, default=2, help="of every engine (default: 2)")
    parser.add_argument("--model", help="a BERT checkpoint (default: BERT-base with random weights)")
    parser.add_argument("--out", type=Path, default=Path("bench"), help="folder of report and results (default: bench)")
    parser.add_argument(
        "--lock", type=Path, action="append", default=[], help="a file to lock while something is timed; repeatable"
    )


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number of 1 or more, got {text!r}")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    """List, set up, render, or time and render."""
    from flowformers import bench
    from flowformers.cli.serve import cache

    if arguments.list:
        print(bench.overview())
    elif arguments.setup:
        print(bench.set_up(cache() / "bench"))
    elif arguments.render:
        print(bench.render(arguments.out))
    else:
        print(bench.render(_timed(arguments, cache() / "bench")))
    return 0


def _timed(arguments: argparse.Namespace, cache: Path) -> Path:
    """Run the plan; the folder of its results."""
    from flowformers import bench

    require_tensorflow("bench")
    peers = arguments.peers.split(",") if arguments.peers else None
    plan = bench.plan(arguments.scenario, peers, quick=arguments.quick, tokens=arguments.max_tokens)
    setup = bench.Setup(
        model=bench.model_folder(arguments.model, cache),
        cache=cache,
        threads=arguments.threads,
        rounds=arguments.rounds,
        locks=tuple(arguments.lock),
    )
    bench.run(plan, setup, arguments.out)
    out: Path = arguments.out
    return out
