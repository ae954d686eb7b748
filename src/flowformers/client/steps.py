"""What each method does, step by step, without waiting for anything itself: one text for the sync and async client."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flowformers.client.arrays import Misfit, to_arrays
from flowformers.client.calls import (
    STRING,
    Label,
    Metadata,
    MetadataCall,
    Outputs,
    PredictCall,
    Signature,
    StatusCall,
    Target,
    VersionStatus,
)
from flowformers.client.retry import Deadline, Retry, Send, Sleep, Steps, ask
from flowformers.errors import FlowformersError, InvalidInput, Kind, ServingError
from flowformers.types import Array

DEFAULT_SIGNATURE = "serving_default"
TEXT, TEXT_PAIR = "text", "text_pair"
LABEL, SCORE, EMBEDDING = "label", "score", "sentence_embedding"
POLL_SECONDS = 0.2
# What a server may say because the model has changed since its metadata was read.
STALE = (Kind.INVALID_ARGUMENT, Kind.FAILED_PRECONDITION, Kind.NOT_FOUND)


class Session:
    """A model on a server, with its metadata once that is known."""

    def __init__(self, target: Target, retry: Retry, timeout: float | None) -> None:
        Deadline(timeout)
        self.target, self.retry, self.timeout = target, retry, timeout
        self._metadata: Metadata | None = None

    def metadata(self, deadline: Deadline | None = None) -> Steps[Metadata]:
        """Ask anew; predict and the others use what is known."""
        self._metadata = yield from ask(MetadataCall(self.target), self.retry, deadline or Deadline(self.timeout))
        return self._metadata

    def status(self) -> Steps[list[VersionStatus]]:
        """The versions' states."""
        found: list[VersionStatus] = yield from ask(StatusCall(self.target), self.retry, Deadline(self.timeout))
        return found

    def predict(self, inputs: Any, signature: str, outputs: Sequence[str], timeout: float | None) -> Steps[Outputs]:
        """Run a signature."""
        return (yield from self._answer(lambda known: self._call(known, signature, inputs, outputs), timeout))

    def classify(self, texts: Any, pairs: Any, timeout: float | None) -> Steps[list[Label]]:
        """Texts -> labels."""
        answer = yield from self._of_texts(texts, pairs, (LABEL, SCORE), timeout)
        return [Label(str(label), float(score)) for label, score in zip(answer[LABEL], answer[SCORE], strict=True)]

    def embed(self, texts: Any, timeout: float | None) -> Steps[Array]:
        """Texts -> vectors."""
        answer = yield from self._of_texts(texts, None, (EMBEDDING,), timeout)
        return answer[EMBEDDING]

    def wait_until_ready(self, timeout: float) -> Steps[None]:
        """Poll until a version is AVAILABLE. TensorFlow Serving answers 200 before that too: the state decides."""
        deadline, seen = Deadline(timeout), "no answer"
        while True:
            try:
                found = yield Send(StatusCall(self.target), deadline.left())
            except ServingError as error:
                if error.kind in (Kind.UNAUTHENTICATED, Kind.PERMISSION_DENIED):
                    raise
                if error.kind is not Kind.DEADLINE_EXCEEDED:  # which is the end of our own patience
                    seen = f"{error.kind.name}: {error}"
            else:
                if any(one.state == "AVAILABLE" for one in found):
                    return None
                seen = ", ".join(f"version {one.version} {one.state} {one.message}".strip() for one in found)
            if not deadline.allows(POLL_SECONDS):
                text = f"model {self.target.name!r} is not available after {timeout} s; last seen: {seen}"
                raise ServingError(Kind.DEADLINE_EXCEEDED, text)
            yield Sleep(POLL_SECONDS)

    def _answer(self, plan: Callable[[Metadata], PredictCall], timeout: float | None) -> Steps[Outputs]:
        """Plan by the remembered metadata; where that fails, once more by new metadata if the model has changed."""
        deadline = Deadline(timeout)
        remembered = self._metadata or (yield from self.metadata(deadline))
        try:
            return (yield from self._ask(plan(remembered), deadline))
        except FlowformersError as error:
            if not _may_be_stale(error):
                raise
            renewed = yield from self._renewed(error, deadline)
            if renewed.signatures == remembered.signatures:
                raise
        return (yield from self._ask(plan(renewed), deadline))

    def _ask(self, call: PredictCall, deadline: Deadline) -> Steps[Outputs]:
        answer: Outputs = yield from ask(call, self.retry, deadline)
        return answer

    def _renewed(self, error: FlowformersError, deadline: Deadline) -> Steps[Metadata]:
        self._metadata = None
        try:
            return (yield from self.metadata(deadline))
        except ServingError as unknown:
            # What the server said of the request stands. What we refused by old metadata was for it to decide.
            raise (unknown if isinstance(error, InvalidInput) else error) from None

    def _call(self, known: Metadata, name: str, inputs: Any, outputs: Sequence[str]) -> PredictCall:
        """Raises InvalidInput for what does not fit the signature."""
        signature = known.signatures.get(name)
        if signature is None:
            raise InvalidInput(f"model {self.target.name!r} has no signature {name!r}; it has {_listed(known)}")
        if isinstance(outputs, str):
            raise InvalidInput(f"expected outputs as a list of names; got {outputs!r}")
        unknown = sorted(set(outputs) - set(signature.outputs), key=str)
        if unknown:
            raise InvalidInput(f"signature {name!r} has no outputs {unknown}; it is {signature}")
        arrays = to_arrays(inputs, signature, name)
        # Each once: TensorFlow Serving refuses a name that is there twice, on gRPC alone.
        return PredictCall(self.target, name, arrays, tuple(dict.fromkeys(outputs)), signature)

    def _of_texts(self, texts: Any, pairs: Any, outputs: Sequence[str], timeout: float | None) -> Steps[Outputs]:
        inputs = {TEXT: _listed_texts(texts, "texts")}
        if pairs is not None:
            inputs[TEXT_PAIR] = _listed_texts(pairs, "pairs")
            if len(inputs[TEXT]) != len(inputs[TEXT_PAIR]):
                raise InvalidInput(
                    f"expected a pair for each text; got {len(inputs[TEXT])} and {len(inputs[TEXT_PAIR])}"
                )
        wanted = TEXT_PAIR if pairs is not None else TEXT

        def plan(known: Metadata) -> PredictCall:
            return self._call(known, self._text_signature(known, wanted, outputs), inputs, outputs)

        return (yield from self._answer(plan, timeout))

    def _text_signature(self, known: Metadata, name: str, outputs: Sequence[str]) -> str:
        """The signature of that name, or the default where it takes text. Raises InvalidInput."""
        for candidate in (name, DEFAULT_SIGNATURE):
            signature = known.signatures.get(candidate)
            if signature is not None and _takes(signature, name) and set(outputs) <= set(signature.outputs):
                return candidate
        raise InvalidInput(
            f"model {self.target.name!r} has no signature {name!r} that gives {', '.join(outputs)}; it has "
            f"{_listed(known)}. `flowformers export --text` writes one; predict() takes ids"
        )


def _may_be_stale(error: FlowformersError) -> bool:
    """Whether other metadata could have led to another end."""
    return not isinstance(error, ServingError) or isinstance(error, Misfit) or error.kind in STALE


def _takes(signature: Signature, name: str) -> bool:
    wanted = {TEXT, TEXT_PAIR} if name == TEXT_PAIR else {TEXT}
    return set(signature.inputs) == wanted and all(info.dtype == STRING for info in signature.inputs.values())


def _listed(known: Metadata) -> str:
    return "; ".join(f"{name} {signature}" for name, signature in known.signatures.items()) or "none"


def _listed_texts(texts: Any, name: str) -> Sequence[str]:
    """A list of texts; a single one is a list of one. Raises InvalidInput."""
    if isinstance(texts, str | bytes):
        return [texts]  # type: ignore[list-item]
    if isinstance(texts, Mapping):
        raise InvalidInput(f"expected {name} as a list of strings; got a mapping. predict() takes named inputs")
    try:
        return list(texts)
    except TypeError as error:
        raise InvalidInput(f"expected {name} as a list of strings; got {type(texts).__name__}") from error
