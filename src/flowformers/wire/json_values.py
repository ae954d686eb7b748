"""JSON as TensorFlow Serving's parser reads it: NaN and infinities, base64 objects, the first of equal keys
(TF Serving protocol, section 5).
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from typing import Any

from flowformers.errors import Kind, ServingError

# TensorFlow Serving's parser knows three words that Python's does not. Strings are matched to be left alone, and one
# without an end is too, or that would be looked for from each quote in it.
WORDS = re.compile(r'"(?:[^"\\]|\\.)*+"?|-NaN|-?Inf(?!inity)', re.DOTALL)
PYTHONS_WORDS = {"-NaN": "NaN", "Inf": "Infinity", "-Inf": "-Infinity"}
ECHOED = 256
# A pair of surrogates, one without its partner, or any other escape: read in order, so that none begins inside another.
ESCAPES = re.compile(r"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(u[dD][89a-fA-F])|.)", re.DOTALL)


class Constant(float):
    """NaN or an infinity that the request spells out, unlike one that came of a number too big for a double."""


def bad(text: str) -> ServingError:
    """INVALID_ARGUMENT."""
    return ServingError(Kind.INVALID_ARGUMENT, text)


def read_document(body: bytes) -> Any:
    """The first JSON value of a body. Raises ServingError that tells the offset at fault."""
    text = body.decode("utf-8", errors="surrogateescape").lstrip("\ufeff \t\r\n")
    if not text:
        raise bad("JSON Parse error: The document is empty")
    if "Inf" in text or "-NaN" in text:
        text = WORDS.sub(lambda found: PYTHONS_WORDS.get(found[0], found[0]), text)
    try:
        document, end = DECODER.raw_decode(text)
    except json.JSONDecodeError as error:
        raise bad(f"JSON Parse error: {error.msg} at offset: {error.pos}") from error
    except RecursionError as error:
        raise bad("JSON Parse error: the document is nested too deeply") from error
    except ValueError as error:  # an integer of more digits than Python converts
        raise bad(f"JSON Parse error: {error}") from error
    check_surrogates(text, end)
    return document


def check_surrogates(text: str, end: int) -> None:
    """Raises ServingError for an escape that stands for half a letter: behind it nobody can tell it from a byte that
    was no UTF-8.
    """
    if "\\ud" in text or "\\uD" in text:
        for found in ESCAPES.finditer(text, 0, end):
            if found[1]:
                raise bad(f"JSON Parse error: a surrogate without its partner at offset: {found.start()}")


def check_numbers(value: Any) -> None:
    """For what nobody reads but the parser. Raises ServingError for a number that no double holds."""
    values = [value]
    while values:
        one = values.pop()
        if isinstance(one, list | dict):
            values.extend(one if isinstance(one, list) else one.values())
        elif (type(one) is float and math.isinf(one)) or (type(one) is int and one.bit_length() > 1024):
            raise bad("JSON Parse error: Number too big to be stored in double")


def _first_of_equals(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else dict(reversed(pairs))


DECODER = json.JSONDecoder(object_pairs_hook=_first_of_equals, parse_constant=Constant)


def echo(value: Any) -> str:
    """The beginning of a value, for an error's text; a string is whole, as in TensorFlow Serving (section 9)."""
    try:
        text = json.dumps(value)
    except RecursionError:
        return "(nested deeply)"
    return text if isinstance(value, str) or len(text) <= ECHOED else f"{text[:ECHOED]}..."


def is_base64(value: Any) -> bool:
    """Whether a value is an object with the one key "b64"."""
    return isinstance(value, dict) and len(value) == 1 and "b64" in value


def to_bytes(value: Any) -> bytes:
    """The bytes of a string or base64 object. Raises ServingError for anything else."""
    if isinstance(value, str):
        return value.encode("utf-8", errors="surrogateescape")
    if not isinstance(value, dict):
        raise bad(f"JSON Value: {echo(value)} is not of expected type: string")
    if not is_base64(value) or not isinstance(value["b64"], str):
        raise bad(f"JSON Value: {echo(value)} is not formatted correctly for base64 data")
    text = "".join(value["b64"].split())
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4 if "=" not in text else 0), validate=True)
    except (binascii.Error, ValueError) as error:
        raise bad("Unable to base64 decode") from error
