"""What one run of the command does: scenarios, their cases, and who takes part."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from flowformers.bench.measures import MEASURES
from flowformers.bench.peers import PEERS
from flowformers.bench.scenarios import SCENARIOS
from flowformers.errors import InvalidInput

QUICK_TOKENS = 1024
QUICK = ("article", "short", "mixed")
QUICK_PEERS = ("flowformers", "google", "onnxruntime-fused", "ceiling")


@dataclass(frozen=True)
class Plan:
    """names: of SCENARIOS and MEASURES. peers: instead of each scenario's own, or None. tokens: the most of a request.

    Raises InvalidInput for an unknown name, and where no case is left.
    """

    names: tuple[str, ...]
    peers: tuple[str, ...] | None = None
    quick: bool = False
    tokens: int | None = None

    def __post_init__(self) -> None:
        _require_known("scenario", self.names, [*SCENARIOS, *MEASURES])
        _require_known("peer", self.peers or (), PEERS)
        empty = [name for name in self.names if name in SCENARIOS and not SCENARIOS[name].up_to(self.tokens)]
        if empty:
            raise InvalidInput(f"{', '.join(empty)}: no case has requests of at most {self.tokens} tokens")

    def peers_of(self, scenario: str) -> Sequence[str]:
        """Who takes part in a scenario."""
        own = SCENARIOS[scenario].peers
        if self.peers is not None:
            return self.peers
        return [name for name in own if name in QUICK_PEERS] if self.quick else own


def plan(names: Sequence[str], peers: Sequence[str] | None, *, quick: bool, tokens: int | None = None) -> Plan:
    """The plan of the command's options: all scenarios where none is named."""
    everything = QUICK if quick else (*SCENARIOS, *MEASURES)
    most = QUICK_TOKENS if quick and tokens is None else tokens
    return Plan(tuple(names) or everything, tuple(peers) if peers is not None else None, quick, most)


def _require_known(what: str, names: Iterable[str], known: Iterable[str]) -> None:
    unknown = [name for name in names if name not in set(known)]
    if unknown:
        raise InvalidInput(f"expected a {what} of {', '.join(known)}; got {', '.join(unknown)}")


def overview() -> str:
    """Scenarios and peers by name, with what they are."""
    lines = ["Scenarios:"]
    lines += [f"  {name:16} {scenario.title}" for name, scenario in SCENARIOS.items()]
    lines += [f"  {name:16} {measure.title}" for name, measure in MEASURES.items()]
    return "\n".join([*lines, "Peers:", *(f"  {name:20} {peer.label}" for name, peer in PEERS.items())])
