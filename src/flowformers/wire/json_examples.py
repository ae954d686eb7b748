"""The JSON forms of classify and regress (TF Serving protocol, section 7)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flowformers.types import Array
from flowformers.wire.example_pb2 import Example
from flowformers.wire.examples import with_context
from flowformers.wire.json_answer import texts
from flowformers.wire.json_form import JsonRequest
from flowformers.wire.json_values import Constant, bad, echo, is_base64, to_bytes


def to_examples(request: JsonRequest) -> list[bytes]:
    """Serialized tf.Examples, the context in front of each. Raises ServingError."""
    document = request.document
    context = _example(document["context"], "context") if "context" in document else b""
    if "examples" not in document:
        raise bad("When method is classify or regress, key 'examples' is expected and was not found")
    examples = document["examples"]
    if not isinstance(examples, list):
        raise bad("Expecting 'examples' value to be an array/list")
    if not examples:
        raise bad("'examples' value is an empty array")
    return with_context(context, [_example(value, f"examples[{index}]") for index, value in enumerate(examples)])


def _example(content: Any, place: str) -> bytes:
    if not isinstance(content, dict):
        raise bad(f"Example must be a JSON object; got {echo(content)} as {place}")
    example = Example()
    for name, value in content.items():
        _fill(example.features.feature[_text(name)], value if isinstance(value, list) else [value], name)
    serialized: bytes = example.SerializeToString()
    return serialized


def _text(name: str) -> str:
    """Protobuf's map keys are UTF-8: other bytes become the replacement character."""
    return name.encode("utf-8", errors="replace").decode("utf-8")


def _fill(feature: Any, values: list[Any], name: str) -> None:
    """A feature of the first value's kind. Raises ServingError for another kind beside it, and for what has none."""
    if not values:
        return
    kind, convert = _kind(values[0], name)
    for value in values[1:]:
        if _kind(value, name)[0] != kind:
            raise bad(f"Unexpected element type in feature: {name} expecting type: {kind.removesuffix('_list')}")
    getattr(feature, kind).value.extend([convert(value) for value in values])


def _kind(value: Any, name: str) -> tuple[str, Callable[[Any], Any]]:
    if isinstance(value, bool):
        return "int64_list", int
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise bad(f"Feature: {name} has {value}. Only int64 is supported.")
        return "int64_list", int
    if isinstance(value, float):
        if value in (float("inf"), float("-inf")) and not isinstance(value, Constant):
            raise bad(f"Feature: {name}: Number too big to be stored in double")
        return "float_list", float
    if isinstance(value, str) or is_base64(value):
        return "bytes_list", to_bytes
    raise bad(f"Feature: {name} has element with unexpected JSON type: {_type_name(value)}")


def _type_name(value: Any) -> str:
    return "Null" if value is None else "Array" if isinstance(value, list) else "Object"


def classifications(labels: Array, scores: Array) -> bytes:
    """The answer's body. labels: bytes [examples, classes]; scores: float32 of the same shape."""
    rows = []
    for row_labels, row_scores in zip(labels, scores, strict=True):
        pairs = zip(texts(row_labels, ""), texts(row_scores, ""), strict=True)
        rows.append("[" + ", ".join(f"[{label}, {score}]" for label, score in pairs) + "]")
    return _results(rows)


def regressions(values: Array) -> bytes:
    """The answer's body. values: float32 [examples]."""
    return _results(texts(values, ""))


def _results(rows: list[str]) -> bytes:
    return f'{{\n    "results": [{", ".join(rows)}\n    ]\n}}'.encode("utf-8", errors="surrogateescape")
