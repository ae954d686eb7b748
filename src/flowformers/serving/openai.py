"""OpenAI's /v1/embeddings over the dataplane, for sentence encoders. Only converts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from flowformers.errors import FlowformersError, Kind, ServingError
from flowformers.serving import calls
from flowformers.serving.dataplane import Dataplane, Limits, Target
from flowformers.serving.pace import NotShort
from flowformers.serving.rest import Request, Response, mistake, unpacked
from flowformers.types import Array
from flowformers.wire import openai_form
from flowformers.wire.codes import http_status
from flowformers.wire.json_values import bad
from flowformers.wire.tensors import FILLED_BYTES

EMBEDDING, TEXT, IDS, MASK = "sentence_embedding", "text", "input_ids", "attention_mask"
# Where each form of input goes; an export may have swapped its default to text.
TEXT_SIGNATURES, ID_SIGNATURES, TOKENIZE = ("text", "serving_default"), ("serving_default", "ids"), "tokenize"


class EmbeddingsApi:
    """POST /v1/embeddings."""

    def __init__(self, dataplane: Dataplane) -> None:
        self._dataplane = dataplane

    def takes(self, path: str) -> bool:
        """The one path."""
        return path == "/v1/embeddings"

    def is_open(self, path: str) -> bool:
        """It needs a key where there are any."""
        return False

    def names(self, path: str) -> tuple[str, str]:
        """The model is in the body."""
        return "", "embeddings"

    def refuse(self, error: FlowformersError) -> Response:
        """OpenAI's form of an error."""
        return Response(http_status(error.kind), openai_form.error_body(error))

    def answer(self, request: Request, limits: Limits) -> Response:
        """One request."""
        if request.method != "POST":
            text = f"{request.method} is not for /v1/embeddings; use POST"
            return Response(405, openai_form.error_body(bad(text)))
        if limits.hurried:
            raise NotShort
        try:
            asked = openai_form.parse(unpacked(request))
            calls.is_for(asked.model)
            return Response(200, self._embed(asked, limits))
        except FlowformersError as error:
            return self.refuse(error)
        except Exception as error:
            return self.refuse(mistake(error))

    def _embed(self, request: openai_form.EmbeddingRequest, limits: Limits) -> bytes:
        target = Target(request.model)
        _, signatures = self._dataplane.metadata(target)
        if request.texts is not None:
            vectors, tokens = self._of_texts(target, signatures, request.texts, limits)
        else:
            vectors, tokens = self._of_ids(target, signatures, request.ids or (), limits)
        if request.dimensions not in (None, vectors.shape[-1]):
            raise bad(f"{target.name} has {vectors.shape[-1]} dimensions, and no shorter form of them")
        return openai_form.answer(request, vectors, tokens)

    def _of_texts(
        self, target: Target, known: Mapping[str, Any], texts: Sequence[str], limits: Limits
    ) -> tuple[Array, int | None]:
        inputs = {TEXT: np.array([text.encode() for text in texts], object)}
        name = _signature(known, TEXT_SIGNATURES, {TEXT}, target)
        vectors = self._run(target, name, inputs, limits)[EMBEDDING]
        tokens = int(self._run(target, TOKENIZE, inputs, limits)[MASK].sum()) if TOKENIZE in known else None
        return vectors, tokens

    def _of_ids(
        self, target: Target, known: Mapping[str, Any], rows: Sequence[Sequence[int]], limits: Limits
    ) -> tuple[Array, int]:
        name = _signature(known, ID_SIGNATURES, {IDS, MASK}, target)
        dtypes, longest = self._dataplane.dtypes(target, name), max(map(len, rows))
        if 4 * len(rows) * longest > FILLED_BYTES:
            raise bad(f"{len(rows)} rows padded to {longest} ids are too many; send fewer, or of like length")
        inputs = {key: np.zeros((len(rows), longest), dtypes[key]) for key in dtypes}
        for index, row in enumerate(rows):  # what is masked on the right has no say, whatever its id
            inputs[IDS][index, : len(row)], inputs[MASK][index, : len(row)] = row, 1
        return self._run(target, name, inputs, limits)[EMBEDDING], sum(map(len, rows))

    def _run(self, target: Target, name: str, inputs: Mapping[str, Array], limits: Limits) -> Mapping[str, Array]:
        return self._dataplane.predict(target, name, inputs, limits=limits).outputs


def _signature(known: Mapping[str, Any], names: Sequence[str], inputs: set[str], target: Target) -> str:
    """The first of the names that takes these inputs and gives embeddings. Raises ServingError."""
    for name in names:
        if name in known and inputs <= set(known[name].inputs) and EMBEDDING in known[name].outputs:
            return name
    what = f"no signature of {target.name} takes {', '.join(sorted(inputs))} and gives {EMBEDDING}"
    raise ServingError(Kind.INVALID_ARGUMENT, f"{what}: only sentence encoders have embeddings")
