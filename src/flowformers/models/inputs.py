"""The call conventions: positional, keyword, dict and list arguments -> named tensors."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from flowformers.errors import InvalidInput
from flowformers.types import Tensor

OPTIONS = ("output_attentions", "output_hidden_states", "return_dict")
NOT_TENSORS = frozenset({*OPTIONS, "training", "use_cache"})
UNSUPPORTED = {
    "head_mask": "head masks are not supported (nor were they by transformers' TensorFlow models)",
    "encoder_hidden_states": "cross-attention is not supported: flowformers is about encoders",
    "encoder_attention_mask": "cross-attention is not supported: flowformers is about encoders",
    "past_key_values": "cached keys and values are not supported: flowformers is about encoders",
}


@dataclass(frozen=True)
class Arguments:
    """One call: named tensors (ids int32), the labels among them apart, and what else the caller chose."""

    tensors: Mapping[str, Tensor]
    labels: Mapping[str, Tensor]
    options: Mapping[str, bool | None]


def call_signature(names: Sequence[str], labels: Sequence[str]) -> inspect.Signature:
    """The signature of call(): tensors, options, labels, training; all None but training=False."""
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter("self", kind)]
    parameters += [inspect.Parameter(name, kind, default=None) for name in (*names, *OPTIONS, *labels)]
    return inspect.Signature([*parameters, inspect.Parameter("training", kind, default=False)])


def spread(names: Sequence[str], args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Every argument given, by name. names: call()'s parameters in order, without self.

    The first argument may be a tensor (input_ids), a list of tensors in order, or a mapping. Raises InvalidInput for
    an unknown keyword and TypeError for an unknown key of a mapping, as transformers did.
    """
    given = dict(kwargs)
    if "inputs" in given and not args:
        args = (given.pop("inputs"),)
    unknown = [name for name in given if name not in names]
    if unknown:
        raise InvalidInput(f"expected keywords of {', '.join(names)}; got {', '.join(unknown)}")
    if len(args) > len(names):
        raise InvalidInput(f"expected at most {len(names)} positional arguments ({', '.join(names)}); got {len(args)}")
    first, rest = (args[0], args[1:]) if args else (None, ())
    positional = dict(zip(names[1:], rest, strict=False))
    twice = [name for name in positional if name in given]
    if twice:
        raise InvalidInput(f"expected each argument once; got {', '.join(twice)} by position and by keyword")
    return {**_first(names, first), **positional, **given}


def _first(names: Sequence[str], first: Any) -> dict[str, Any]:
    if isinstance(first, Mapping):
        unknown = [str(name) for name in first if name not in names]
        if unknown:
            raise TypeError(f"expected inputs named {', '.join(names)}; got {', '.join(unknown)}")
        return dict(first)
    if isinstance(first, list | tuple) and first and not _is_numbers(first):
        return dict(zip(names, first, strict=False))
    return {} if first is None else {names[0]: first}


def _is_numbers(values: Sequence[Any]) -> bool:
    """Whether nested lists hold bare numbers, so that they are one tensor and not a list of tensors."""
    while isinstance(values, list | tuple) and values:
        values = values[0]
    return isinstance(values, int | float)


def read(given: Mapping[str, Any], labels: Sequence[str]) -> Arguments:
    """Tensors from what was given. Raises NotImplementedError for what no encoder here takes."""
    for name, reason in UNSUPPORTED.items():
        if given.get(name) is not None:
            raise NotImplementedError(f"{name}: {reason}")
    options = {name: given.get(name) for name in OPTIONS}
    tensors = {name: to_tensor(name, x) for name, x in given.items() if x is not None and name not in NOT_TENSORS}
    chosen = {name: tensors.pop(name) for name in labels if name in tensors}
    return Arguments(tensors, chosen, options)


def to_tensor(name: str, value: Any) -> Tensor:
    """A tensor; integers as int32, booleans as int32. Raises InvalidInput that names the argument."""
    if isinstance(value, keras.KerasTensor):
        return value
    try:
        tensor = tf.convert_to_tensor(np.asarray(value) if isinstance(value, list | tuple) else value)
    except (TypeError, ValueError) as error:
        raise InvalidInput(
            f"expected a tensor, an array or nested lists for {name}; got {type(value).__name__}: {error}"
        ) from error
    if tensor.dtype == tf.string or not (tensor.dtype.is_integer or tensor.dtype.is_floating or tensor.dtype.is_bool):
        raise InvalidInput(f"expected numbers for {name}; got {tensor.dtype.name}. Text goes through a tokenizer first")
    if name == "input_ids" and not tensor.dtype.is_integer:
        raise InvalidInput(f"expected integer ids for input_ids; got {tensor.dtype.name}")
    return tf.cast(tensor, tf.int32) if tensor.dtype.is_integer or tensor.dtype.is_bool else tensor
