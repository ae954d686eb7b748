"""The report as Markdown. Losses are found and said by the same code as wins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from flowformers.bench.peers import PEERS
from flowformers.bench.records import Session
from flowformers.bench.report.results import Outcome, dense_flops, flops
from flowformers.bench.statistics import geometric_mean
from flowformers.bench.timing import DISTURBED

HOW = """\
Made by `flowformers bench --render` from the JSON lines beside the charts; nothing here is written by hand.

- Every engine has the same weights and the same number of threads, in a process and an environment of its own, and
  gets NumPy token ids and masks and gives the last hidden states as NumPy. One request runs at a time.
- Answers are compared before anything is timed. A float32 engine whose hidden states differ by more than 1e-4 from
  flowformers' is not timed.
- Engines take turns: in each round every engine runs a case for about a third of a second (one pass where a pass lasts
  longer), beginning with another engine each time. A number is the median over rounds of each round's median. The
  spread is the range of the rounds over that median, the worst case of a row.
- A turn in which other processes took more than 5 % of the machine's CPU time is tried again, three times at most, and
  the least disturbed try counts; "others" is the largest share that was left.
- One untimed pass comes before the first round of a case; cases of 4,096 tokens and more have none.
- Speed is time of the reference over time of the engine: above 1 is faster than the reference.
- The ceiling is the model's dense products alone, on real tokens, run by TensorFlow with constant weights in the same
  rounds. A share of it compares operations a second: those of the whole model, at real tokens, with the products'.
"""


def markdown(outcomes: Mapping[str, Outcome], *, charts: str) -> str:
    """outcomes: by scenario. charts: the folder of the SVG files, relative to the Markdown's own."""
    parts = ["# Benchmarks", HOW, *_machines(outcomes.values())]
    for outcome in outcomes.values():
        parts += [f"## {outcome.title}", f"`{outcome.session.command}`, {outcome.session.started}."]
        parts += _timed(outcome, charts) if outcome.timings else []
        parts += [_measures(outcome)] if outcome.measures else []
        parts += [_absent(outcome)] if any(one.reason for one in outcome.participants) else []
    parts += ["## Who took part", _participants(outcomes.values())]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def _machines(outcomes: Iterable[Outcome]) -> list[str]:
    """Each machine once, with the model that was timed on it."""
    told = {_machine(outcome.session): None for outcome in outcomes}
    return ["## Machine", *told]


# Instructions that multiply in the reduced precision, by precision.
REDUCED = {"bf16": {"avx512_bf16", "amx_bf16", "bf16"}, "int8": {"avx512_vnni", "avx_vnni", "amx_int8", "i8mm"}}


def _machine(session: Session) -> str:
    machine, model = session.machine, session.model
    flags = ", ".join(machine["flags"]) or "none"
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (
        f"{machine['cpu']} ({machine['family']}), {machine['cores']} cores, {machine['memory_gib']} GiB, "
        f"{machine['system']}. Instructions that matter to matrix products: {flags}. Python {machine['python']}, "
        f"{versions}. Model: {model['name']}, {model['num_hidden_layers']} layers of width {model['hidden_size']}. "
        f"{session.threads} threads, {session.rounds} rounds.{_without(machine['flags'])}"
    )


def _without(flags: Sequence[str]) -> str:
    absent = [precision for precision, any_of in REDUCED.items() if not any_of & set(flags)]
    if not absent:
        return ""
    return (
        f" This CPU has no instructions for products in {' or '.join(absent)}: an engine asked for them computes in "
        "float32, or imitates them."
    )


def _timed(outcome: Outcome, charts: str) -> list[str]:
    reference = PEERS[outcome.reference].label
    title = f"Milliseconds, and in brackets speed relative to {reference}:"
    chart = f"![{outcome.title}]({charts}/{outcome.name}.svg)"
    return [*_disturbance(outcome), title, _table(outcome), _verdict(outcome), *_shares(outcome), chart]


def _disturbance(outcome: Outcome) -> list[str]:
    """A warning where the machine was not the run's alone."""
    shares = [timing.others for timing in outcome.timings if timing.others is not None]
    if not shares or median(shares) <= DISTURBED:
        return []
    return [
        f"**Disturbed: other processes took {median(shares):.0%} of the machine's CPU time in the median turn. "
        "Milliseconds are too high, engines whose threads sleep between products (TensorFlow's) lose more than those "
        "whose threads spin, and the comparison is no result.**"
    ]


def _table(outcome: Outcome) -> str:
    header = ["engine", *(case.name for case in outcome.cases), "mean speed", "spread", "others"]
    return grid(header, [_row(outcome, peer) for peer in outcome.peers])


def _row(outcome: Outcome, peer: str) -> list[str]:
    table, reference = outcome.table, outcome.reference
    cells = []
    for case in outcome.cases:
        own, other = table.get((case.name, peer)), table.get((case.name, reference))
        cells.append("" if own is None else _cell(own.seconds, other.seconds if other else None))
    spreads = [result.spread for (_, name), result in table.items() if name == peer]
    mean = outcome.speed(peer)
    label = f"**{PEERS[peer].label}**" if peer.startswith("flowformers") else PEERS[peer].label
    return [label, *cells, "" if mean is None else f"{mean:.2f}", f"{max(spreads):.0%}", _others(outcome, peer)]


def _others(outcome: Outcome, peer: str) -> str:
    shares = [one.others for one in outcome.timings if one.peer == peer and one.others is not None]
    return f"{max(shares):.0%}" if shares else ""


def _cell(seconds: float, reference: float | None) -> str:
    speed = "" if reference is None else f" ({reference / seconds:.2f})"
    return f"{_milliseconds(seconds)}{speed}"


def _milliseconds(seconds: float) -> str:
    value = seconds * 1000
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def _verdict(outcome: Outcome) -> str:
    """Own engines against the fastest other of the same precision, case by case."""
    lines = [_against_best(outcome, peer) for peer in outcome.peers if peer in _contenders(outcome)]
    return "\n".join(f"- {line}" for line in lines if line)


def _contenders(outcome: Outcome) -> list[str]:
    return [name for name in outcome.peers if name.startswith("flowformers")]


def _against_best(outcome: Outcome, peer: str) -> str:
    precision, table = PEERS[peer].precision, outcome.table
    ratios: dict[str, tuple[float, str]] = {}
    for case in outcome.cases:
        others = {
            name: table[case.name, name].seconds
            for name in outcome.peers
            if not name.startswith("flowformers") and PEERS[name].precision == precision and (case.name, name) in table
        }
        if others and (case.name, peer) in table:
            best = min(others, key=lambda name: others[name])
            ratios[case.name] = (others[best] / table[case.name, peer].seconds, best)
    if not ratios:
        return ""
    mean = geometric_mean([ratio for ratio, _ in ratios.values()])
    lost = [f"{PEERS[best].label} at {case} ({ratio:.2f})" for case, (ratio, best) in ratios.items() if ratio < 1]
    losses = f"slower than {', '.join(lost)}" if lost else "slower nowhere"
    rivals = f"the fastest other {precision} engine of each case"
    return f"{PEERS[peer].label} against {rivals}: {mean:.2f} in the mean; {losses}."


def _shares(outcome: Outcome) -> list[str]:
    if outcome.ceiling is None:
        return []
    rows = [_share_row(outcome, peer) for peer in outcome.peers]
    header = ["share of the ceiling", *(case.name for case in outcome.cases)]
    limit = ["the ceiling, GFLOP/s", *(f"{_ceiling_rate(outcome, case.name):.0f}" for case in outcome.cases)]
    return [grid(header, [limit, *rows])]


def _ceiling_rate(outcome: Outcome, name: str) -> float:
    case = next(case for case in outcome.cases if case.name == name)
    return dense_flops(case, outcome.session.model) / outcome.table[name, str(outcome.ceiling)].seconds / 1e9


def _share_row(outcome: Outcome, peer: str) -> list[str]:
    cells = []
    for case in outcome.cases:
        result = outcome.table.get((case.name, peer))
        rate = None if result is None else flops(case, outcome.session.model) / result.seconds / 1e9
        cells.append("" if rate is None else f"{rate / _ceiling_rate(outcome, case.name):.0%}")
    return [PEERS[peer].label, *cells]


def _measures(outcome: Outcome) -> str:
    rows = [
        [one.name, f"{one.value:,.4g}", one.unit, _promise(one.at_most, one.at_least), _kept(one.kept)]
        for one in outcome.measures
    ]
    return grid(["", "measured", "unit", "promised", "kept"], rows)


def _promise(at_most: float | None, at_least: float | None) -> str:
    if at_most is not None:
        return f"at most {at_most:g}"
    return "" if at_least is None else f"at least {at_least:g}"


def _kept(kept: bool | None) -> str:
    return {True: "yes", False: "**no**", None: ""}[kept]


def _absent(outcome: Outcome) -> str:
    lines = [f"- {_label(one.peer)}: {escaped(one.reason)}" for one in outcome.participants if one.reason]
    return "Not timed:\n\n" + "\n".join(lines)


def _participants(outcomes: Iterable[Outcome]) -> str:
    """One row an engine: from its newest scenario."""
    newest = {one.peer: one for outcome in outcomes for one in outcome.participants if not one.reason}
    rows = [
        [
            _label(one.peer),
            ", ".join(f"{name} {version}" for name, version in one.versions.items()),
            "" if one.difference is None else f"{one.difference:.1e}",
            "" if one.start is None else f"{one.start:.1f}",
            "" if one.resident is None else f"{one.resident / 2**20:,.0f}",
            "" if one.peak is None else f"{one.peak / 2**20:,.0f}",
        ]
        for one in newest.values()
    ]
    header = ["engine", "versions", "largest difference", "start, s", "memory, MiB", "peak, MiB"]
    note = (
        "Difference: of hidden states to flowformers in float32, absolute. Start: from the process' start to the model "
        "loaded, from files converted for the engine before. Memory: resident after the first answers."
    )
    return f"{note}\n\n{grid(header, rows)}"


def _label(name: str) -> str:
    return PEERS[name].label if name in PEERS else name


def escaped(text: str) -> str:
    """As one cell or line."""
    return text.replace("|", "\\|").replace("<", "&lt;")


def grid(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; every column but the first to the right."""
    line = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, line, *rows))
