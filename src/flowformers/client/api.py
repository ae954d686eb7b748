"""The two clients. What a method does is in steps.py; here a driver carries the steps out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

from flowformers.client.calls import Label, Metadata, Outputs, Target, VersionStatus
from flowformers.client.connection import Connection, Tls
from flowformers.client.retry import Retry, Send, Sleep, Steps, T
from flowformers.client.steps import DEFAULT_SIGNATURE, Session
from flowformers.errors import ServingError
from flowformers.types import Array

AS_GIVEN: Any = object()  # a timeout that is not given is the client's


class _Base:
    """What both clients are made of.

    Args:
        url: http://, https:// (REST, usually port 8501), grpc://, grpcs:// (gRPC, 8500), or unix:PATH (gRPC).
        model: the model's name on the server.
        version, label: which version, at most one of them; the highest available by default.
        timeout: seconds for a call with all its tries; None for no limit.
        retry: when to try again.
        api_key: sent as `Authorization: Bearer KEY`.
        tls: certificates for https:// and grpcs://, where the system's list is not what is wanted.
        headers: sent with every request, as HTTP headers or gRPC metadata.

    Every method raises ServingError with the server's `kind` (UNAVAILABLE where it can't be reached, DEADLINE_EXCEEDED
    after the timeout), and InvalidInput for what can't be sent.
    """

    def __init__(
        self,
        url: str = "http://localhost:8501",
        *,
        model: str,
        version: int | None = None,
        label: str | None = None,
        timeout: float | None = 30.0,
        retry: Retry | None = None,
        api_key: str | None = None,
        tls: Tls | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._connection = Connection(url, api_key, tls, headers or {})
        self._session = Session(Target(model, version, label), retry or Retry(), timeout)
        self._transport: Any = self._first_transport()

    def _first_transport(self) -> Any:
        """None where it has to wait for the first call. A hook, so that both clients show the signature above."""

    def _seconds(self, timeout: Any) -> float | None:
        return self._session.timeout if timeout is AS_GIVEN else timeout


class Client(_Base):
    __doc__ = _Base.__doc__

    def _first_transport(self) -> Any:
        # Each protocol's library is imported only where it is used.
        if self._connection.is_grpc:
            from flowformers.client.grpc import GrpcTransport

            return GrpcTransport(self._connection)
        from flowformers.client.rest import RestTransport

        return RestTransport(self._connection)

    def predict(
        self,
        inputs: Any,
        *,
        signature: str = DEFAULT_SIGNATURE,
        outputs: Sequence[str] = (),
        timeout: float | None = AS_GIVEN,
    ) -> Outputs:
        """Arrays in, NumPy arrays out.

        inputs: a mapping of every input's name to anything NumPy takes (a tokenizer's answer, lists, arrays), or the
        value itself where the signature has one input. They get the dtypes that the signature declares; what would
        change by that is refused. outputs: the names wanted, all by default. Strings come as str in object arrays,
        as bytes where the output's name ends in `_bytes`.
        """
        return self._run(self._session.predict(inputs, signature, outputs, self._seconds(timeout)))

    def classify(
        self, texts: str | Sequence[str], pairs: Sequence[str] | None = None, *, timeout: float | None = AS_GIVEN
    ) -> list[Label]:
        """The label of each text, or of each pair of texts, by the model's signature `text` or `text_pair`."""
        return self._run(self._session.classify(texts, pairs, self._seconds(timeout)))

    def embed(self, texts: str | Sequence[str], *, timeout: float | None = AS_GIVEN) -> Array:
        """The embeddings of texts: float32 [B, H], by a sentence encoder's signature `text`."""
        return self._run(self._session.embed(texts, self._seconds(timeout)))

    def metadata(self) -> Metadata:
        """The version that answers and its signatures. Asks anew each time; the other methods remember them."""
        return self._run(self._session.metadata())

    def status(self) -> list[VersionStatus]:
        """The state of every version the server knows, highest first, or of the version of this client."""
        return self._run(self._session.status())

    def wait_until_ready(self, timeout: float = 60.0) -> None:
        """Return when a version is AVAILABLE. Raises ServingError DEADLINE_EXCEEDED with what was seen last."""
        self._run(self._session.wait_until_ready(timeout))

    def _run(self, steps: Steps[T]) -> T:
        sent: Any = None
        try:
            step = next(steps)
            while True:
                try:
                    sent = self._carry_out(step)
                except ServingError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(sent)
        except StopIteration as done:
            value: T = done.value
            return value

    def _carry_out(self, step: Send | Sleep) -> Any:
        if isinstance(step, Sleep):
            return time.sleep(step.seconds)
        return self._transport.send(step.call, step.timeout)

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncClient(_Base):
    __doc__ = f"Client with the same methods, awaited; of one event loop.\n{_Base.__doc__}"

    def _open(self) -> Any:
        if self._connection.is_grpc:
            from flowformers.client.grpc import AsyncGrpcTransport

            return AsyncGrpcTransport(self._connection)
        from flowformers.client.rest import AsyncRestTransport

        return AsyncRestTransport(self._connection)

    async def predict(
        self,
        inputs: Any,
        *,
        signature: str = DEFAULT_SIGNATURE,
        outputs: Sequence[str] = (),
        timeout: float | None = AS_GIVEN,
    ) -> Outputs:
        """As Client.predict."""
        return await self._run(self._session.predict(inputs, signature, outputs, self._seconds(timeout)))

    async def classify(
        self, texts: str | Sequence[str], pairs: Sequence[str] | None = None, *, timeout: float | None = AS_GIVEN
    ) -> list[Label]:
        """As Client.classify."""
        return await self._run(self._session.classify(texts, pairs, self._seconds(timeout)))

    async def embed(self, texts: str | Sequence[str], *, timeout: float | None = AS_GIVEN) -> Array:
        """As Client.embed."""
        return await self._run(self._session.embed(texts, self._seconds(timeout)))

    async def metadata(self) -> Metadata:
        """As Client.metadata."""
        return await self._run(self._session.metadata())

    async def status(self) -> list[VersionStatus]:
        """As Client.status."""
        return await self._run(self._session.status())

    async def wait_until_ready(self, timeout: float = 60.0) -> None:
        """As Client.wait_until_ready."""
        await self._run(self._session.wait_until_ready(timeout))

    async def _run(self, steps: Steps[T]) -> T:
        try:
            step = next(steps)
            while True:
                try:
                    sent = await self._carry_out(step)
                except ServingError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(sent)
        except StopIteration as done:
            value: T = done.value
            return value

    async def _carry_out(self, step: Send | Sleep) -> Any:
        if isinstance(step, Sleep):
            return await asyncio.sleep(step.seconds)
        if self._transport is None:  # made inside the event loop, whose it is
            self._transport = self._open()
        return await self._transport.send(step.call, step.timeout)

    async def close(self) -> None:
        """Close the connections."""
        if self._transport is not None:
            await self._transport.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
