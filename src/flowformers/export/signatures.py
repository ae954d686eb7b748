"""Which signatures a SavedModel gets: one explicit tf.function each, never Keras' own export."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from flowformers.errors import InvalidInput
from flowformers.export.examples import example_signatures
from flowformers.export.text import checked, text_signatures
from flowformers.types import Tensor

Signatures = dict[str, Any]
Body = Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]]


def signatures_of(
    model: Any,
    given: Any = None,
    *,
    tokenizer: Any = None,
    default_signature: str = "ids",
    examples: bool | None = None,
    text_options: Mapping[str, Any] | None = None,
) -> Signatures:
    """Signature name -> concrete function.

    Of ids the first of these: what the caller gives (one function or a dict); the model's own `serving` where a
    subclass decorated it with @tf.function(input_signature=...); model.input_signature as serving_default with an int64
    twin. With a tokenizer also the text signatures; default_signature "text" makes serving_default the one that takes
    text, and that of ids `ids`. examples adds a signature that takes tf.Examples to a classifier; None does where there
    is one that takes text. text_options: see text_signatures. Raises InvalidInput where a name is given twice.
    """
    if default_signature not in ("ids", "text"):
        raise InvalidInput(f"expected a default_signature of ids or text; got {default_signature!r}")
    if default_signature == "text" and tokenizer is None:
        raise InvalidInput("default_signature text needs a tokenizer, and the checkpoint or call gave none")
    if text_options and tokenizer is None:
        raise InvalidInput(
            f"text_options {', '.join(text_options)} need a tokenizer, and the checkpoint or call gave none"
        )
    functions = _id_signatures(model, given)
    graph = None if tokenizer is None else checked(model, tokenizer)
    if graph is not None:
        functions = _joined(functions, text_signatures(model, graph, text_options))
    if examples or (examples is None and graph is not None):
        functions = _joined(functions, example_signatures(model, functions, graph))
    if default_signature == "text":
        if "serving_default" in functions:
            functions = _joined(functions, {"ids": functions["serving_default"]})
        functions["serving_default"] = functions["text"]
    return functions


def _joined(functions: Signatures, more: Signatures) -> Signatures:
    twice = [name for name in more if name in functions]
    if twice:
        raise InvalidInput(
            f"expected each signature once; {', '.join(twice)} is given in signatures= and made for the tokenizer or "
            "examples. Give yours another name, or leave tokenizer and examples out"
        )
    return functions | more


def _id_signatures(model: Any, given: Any) -> Signatures:
    if given is not None:
        named = given if isinstance(given, Mapping) else {"serving_default": given}
        return {name: _concrete(name, function) for name, function in named.items()}
    if own_signature(model) is not None:
        return {"serving_default": model.serving.get_concrete_function()}
    return _default(model)


def own_signature(model: Any) -> Any:
    """The input_signature of a `serving` that a subclass decorated, or None."""
    return getattr(model.serving, "input_signature", None)


def _concrete(name: str, function: Any) -> Any:
    if hasattr(function, "structured_input_signature"):
        return function
    if getattr(function, "input_signature", None) is None:
        raise InvalidInput(
            f"expected a concrete function or a @tf.function with an input_signature as signature {name!r}; "
            f"got {type(function).__name__}"
        )
    return function.get_concrete_function()


def _default(model: Any) -> Signatures:
    specs = model.input_signature
    main = _function(model.serving, specs)
    if any(spec.dtype != tf.int32 for spec in specs.values()):
        return {"serving_default": main}

    def narrowed(inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        # Shares the body with serving_default: a second trace would double the graph.
        return main(**{name: tf.cast(value, tf.int32) for name, value in inputs.items()})  # type: ignore[no-any-return]

    wide = {name: tf.TensorSpec(spec.shape, tf.int64, name=name) for name, spec in specs.items()}
    return {"serving_default": main, "int64_serving": _function(narrowed, wide)}


def _function(body: Body, specs: Mapping[str, Any]) -> Any:
    def signature(**inputs: Tensor) -> Mapping[str, Tensor]:
        return body(inputs)

    return tf.function(signature, autograph=False).get_concrete_function(**specs)
