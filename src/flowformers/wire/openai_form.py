"""OpenAI's embeddings: what is asked, the answer, and errors, as JSON."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flowformers.errors import FlowformersError, Kind
from flowformers.types import Array
from flowformers.wire.codes import http_status
from flowformers.wire.documents import load_object
from flowformers.wire.json_values import bad

FORMATS = ("float", "base64")
TYPES = {
    Kind.UNAUTHENTICATED: "authentication_error",
    Kind.PERMISSION_DENIED: "permission_error",
    Kind.RESOURCE_EXHAUSTED: "rate_limit_error",
}
CODES = {Kind.NOT_FOUND: "model_not_found"}


@dataclass(frozen=True)
class EmbeddingRequest:
    """texts or ids, one of them; ids: token ids with the special tokens that the model was trained with."""

    model: str
    texts: Sequence[str] | None
    ids: Sequence[Sequence[int]] | None
    base64: bool
    dimensions: int | None


def parse(body: bytes) -> EmbeddingRequest:
    """Read a body. Raises ServingError that names the key at fault."""
    document = load_object(body)
    model, form = document.get("model"), document.get("encoding_format")
    if not isinstance(model, str) or not model:
        raise bad("expected the name of a model as 'model'")
    if form not in (None, *FORMATS):
        raise bad(f"expected an encoding_format of float or base64; got {json.dumps(form)[:100]}")
    dimensions = document.get("dimensions")
    if dimensions is not None and (type(dimensions) is not int or dimensions < 1):
        raise bad(f"expected dimensions as a number from 1; got {json.dumps(dimensions)[:100]}")
    texts, ids = _input(document.get("input"))
    return EmbeddingRequest(model, texts, ids, form == "base64", dimensions)


def _input(content: Any) -> tuple[Sequence[str] | None, Sequence[Sequence[int]] | None]:
    """The four forms: a text, texts, ids, several lists of ids."""
    if isinstance(content, str):
        return _texts([content]), None
    if not isinstance(content, list) or not content:
        raise bad(
            "expected 'input' as a string, or an array that is not empty of strings, token ids, or arrays of them"
        )
    if all(isinstance(one, str) for one in content):
        return _texts(content), None
    rows = content if isinstance(content[0], list) else [content]
    for row in rows:
        if not isinstance(row, list) or not row or not all(type(one) is int and 0 <= one < 2**31 for one in row):
            raise bad("expected 'input' to hold only strings, only token ids, or only arrays of token ids")
    return None, rows


def _texts(texts: Sequence[str]) -> Sequence[str]:
    try:
        "".join(texts).encode()
    except UnicodeEncodeError as error:
        raise bad("'input' has half of a surrogate pair") from error
    return texts


def answer(request: EmbeddingRequest, vectors: Array, tokens: int | None) -> bytes:
    """vectors: float32 [B, H]. tokens: None leaves `usage` out, where nobody could count."""
    data = [
        {"object": "embedding", "index": index, "embedding": _vector(vector, request.base64)}
        for index, vector in enumerate(vectors)
    ]
    document: dict[str, Any] = {"object": "list", "data": data, "model": request.model}
    if tokens is not None:
        document["usage"] = {"prompt_tokens": tokens, "total_tokens": tokens}
    return json.dumps(document, separators=(",", ":")).encode()


def _vector(vector: Array, as_base64: bool) -> Any:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode() if as_base64 else vector.tolist()


def error_body(error: FlowformersError) -> bytes:
    """OpenAI's form."""
    client = http_status(error.kind) < 500
    fallback = "invalid_request_error" if client else "server_error"
    param = "model" if error.kind is Kind.NOT_FOUND else None
    kind, code = TYPES.get(error.kind, fallback), CODES.get(error.kind)
    content = {"error": {"message": str(error), "type": kind, "param": param, "code": code}}
    return json.dumps(content).encode("utf-8", errors="replace")
