"""When to ask again, and how long to wait before."""

from __future__ import annotations

import random
import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from flowformers.client.calls import Call
from flowformers.errors import InvalidInput, Kind, ServingError

TRANSIENT = (Kind.UNAVAILABLE, Kind.RESOURCE_EXHAUSTED)


@dataclass(frozen=True)
class Retry:
    """Full jitter: each wait is random, up to `initial` seconds doubled for every try, at most `longest`.

    A server's Retry-After counts where it is longer; below zero, as gRPC has it, it forbids another try. attempts:
    tries after the first; 0 never asks again. Only UNAVAILABLE and RESOURCE_EXHAUSTED are tried again: those requests
    were not run, or a copy of them does no harm.
    """

    attempts: int = 4
    initial: float = 0.1
    longest: float = 5.0

    def __post_init__(self) -> None:
        if self.attempts < 0 or self.initial <= 0 or self.longest < self.initial:
            raise InvalidInput(f"expected attempts >= 0 and 0 < initial <= longest; got {self}")

    def wait(self, number: int, error: ServingError) -> float | None:
        """Seconds before try `number` + 1 (from 0); None where the error stands."""
        asked = error.retry_after or 0.0
        if number >= self.attempts or error.kind not in TRANSIENT or asked < 0:
            return None
        spread = random.uniform(0, min(self.longest, self.initial * 2 ** min(number, 60)))
        return max(spread, asked)


class Deadline:
    """The end of a call, all tries included. seconds: None for never."""

    def __init__(self, seconds: float | None) -> None:
        if seconds is not None and seconds <= 0:
            raise InvalidInput(f"expected a timeout above 0 seconds, or None for none; got {seconds}")
        self._end = None if seconds is None else time.monotonic() + seconds

    def left(self) -> float | None:
        """Seconds until the end, never below zero."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    def allows(self, seconds: float) -> bool:
        """Whether a wait ends before the end."""
        left = self.left()
        return left is None or seconds < left


@dataclass(frozen=True)
class Send:
    """A step: ask the server once."""

    call: Call
    timeout: float | None


@dataclass(frozen=True)
class Sleep:
    """A step: wait."""

    seconds: float


# What a method does, step by step. A driver carries out each step, sync or async, and sends back what came of it.
T = TypeVar("T")
Steps: TypeAlias = Generator[Send | Sleep, Any, T]


def ask(call: Call, retry: Retry, deadline: Deadline) -> Steps[Any]:
    """Ask until there is an answer, an error that stands, or no time. Raises the last error."""
    number = 0
    while True:
        try:
            return (yield Send(call, deadline.left()))
        except ServingError as error:
            seconds = retry.wait(number, error)
            if seconds is None or not deadline.allows(seconds):
                raise
        yield Sleep(seconds)
        number += 1
