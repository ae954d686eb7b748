"""Text signatures: strings in, what the head means out. Labels and tokenisation are inside the graph."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from flowformers.errors import InvalidInput
from flowformers.export.functions import as_traced
from flowformers.export.text import (
    choices,
    classification,
    embedding,
    entities,
    masks,
    questions,
)
from flowformers.export.text.classification import classify
from flowformers.text import TFTokenizer

__all__ = ["check_text_form", "checked", "classify", "text_signatures"]

Builder = Callable[..., dict[str, Any]]
BUILDERS: dict[str, Builder] = {
    "ModelForSequenceClassification": classification.bodies,
    "ModelForTokenClassification": entities.bodies,
    "ModelForQuestionAnswering": questions.bodies,
    "ModelForMaskedLM": masks.bodies,
    "ModelForMultipleChoice": choices.bodies,
}


def checked(model: Any, tokenizer: Any) -> TFTokenizer:
    """The tokenizer in a graph, cut at the model's limit and compared with the `tokenizers` library.

    tokenizer: what AutoTokenizer gives, or a TFTokenizer. Raises InvalidInput where there is no exact form.
    """
    graph = (tokenizer if isinstance(tokenizer, TFTokenizer) else TFTokenizer(tokenizer)).limited(_limit(model))
    with as_traced():
        graph.check()
    return graph


def text_signatures(model: Any, graph: TFTokenizer, options: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Signature name -> concrete function; `text` is among them, the others depend on the head (docs/text.md).

    options: keywords of the head's bodies(). Raises InvalidInput where the head has no text form, or where an option
    is not the head's.
    """
    build = _builder(model)
    given = dict(options or {})
    _check_options(model, build, given)
    return {name: _concrete(body) for name, body in build(model, graph, **given).items()}


def check_text_form(model: Any, graph: TFTokenizer, options: Mapping[str, Any] | None = None) -> None:
    """Raises InvalidInput where the head has no text form, or not with this tokenizer or these options."""
    build = _builder(model)
    _check_options(model, build, options or {})
    if build in (entities.bodies, questions.bodies):
        graph.with_offsets(tf.constant([""]))
    build(model, graph.limited(_limit(model)), **(options or {}))


def _builder(model: Any) -> Builder:
    if not hasattr(model, "head_spec"):
        return embedding.bodies
    found = next((BUILDERS[name] for name in model.head_spec.auto if name in BUILDERS), None)
    if found is None:
        raise InvalidInput(f"{type(model).__name__} has no text signature: export it without a tokenizer")
    return found


def _check_options(model: Any, build: Builder, given: Mapping[str, Any]) -> None:
    known = [name for name in inspect.signature(build).parameters if name not in ("model", "graph")]
    unknown = [name for name in given if name not in known]
    if unknown:
        raise InvalidInput(
            f"expected text options of {type(model).__name__} among {', '.join(known) or 'none'}; "
            f"got {', '.join(unknown)}"
        )


def _limit(model: Any) -> int:
    return int(model.base_model.spec.max_length if hasattr(model, "head_spec") else model.max_length)


def _concrete(body: Callable[..., Any]) -> Any:
    """A function of strings [n], each named as the body's argument; `choices` is [n, choices]."""
    shapes = {name: [None, None] if name == "choices" else [None] for name in inspect.signature(body).parameters}
    specs = {name: tf.TensorSpec(shape, tf.string, name=name) for name, shape in shapes.items()}
    return tf.function(body, autograph=False).get_concrete_function(**specs)
