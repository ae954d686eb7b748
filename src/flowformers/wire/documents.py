"""A JSON body that must be an object, for the protocols beside TensorFlow Serving's."""

from __future__ import annotations

import json
from typing import Any

from flowformers.errors import Kind, ServingError
from flowformers.wire.json_values import Constant, check_surrogates


def load_object(body: bytes) -> dict[str, Any]:
    """Parse. Raises ServingError INVALID_ARGUMENT, whatever the bytes are."""
    try:
        text = body.decode(json.detect_encoding(body))
        document = json.loads(text, parse_constant=Constant)
    except RecursionError as error:
        raise ServingError(Kind.INVALID_ARGUMENT, "the JSON body is nested too deeply") from error
    except ValueError as error:  # not JSON, not UTF-8, or an integer of more digits than Python converts
        raise ServingError(Kind.INVALID_ARGUMENT, f"the body is not JSON: {error}") from error
    check_surrogates(text, len(text))
    if not isinstance(document, dict):
        raise ServingError(Kind.INVALID_ARGUMENT, f"expected a JSON object; got {type(document).__name__}")
    return document
