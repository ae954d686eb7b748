"""The public classes, made from the families' values: TFBertModel, TFBertForSequenceClassification, ..."""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any

import keras

from flowformers.families import Family, families, family_of
from flowformers.heads import HeadSpec
from flowformers.models.base import TFPreTrainedModel
from flowformers.models.calling import MainLayer
from flowformers.models.inputs import call_signature, spread


def make_class(family: Family, suffix: str, base: type, spec: HeadSpec) -> Any:
    """A public class: one head of a family, or its main layer, with call()'s parameters in transformers' order."""
    tensors = (*family.arguments, *(family.decoder_arguments if spec.decoder else ()))
    signature = call_signature(tensors, tuple(spec.labels))
    names = tuple(signature.parameters)[1:]

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        return self._answer(spread(names, args, kwargs))

    call.__signature__ = signature  # type: ignore[attr-defined]
    call.__doc__ = f"call{signature}: see TFPreTrainedModel; outputs: {spec.output}."
    name = f"TF{family.stem}{suffix}"
    shared = {"family": family, "config_class": family.config_class, "__module__": "flowformers"}
    own = {"head_spec": spec, "call_names": names, "call": call, "__doc__": f"{name}: {inspect.getdoc(base)}"}
    made = type(name, (base,), shared | own)
    return keras.saving.register_keras_serializable(package="flowformers")(made)


def family_classes(family: Family) -> dict[str, Any]:
    """A family's main layer, the base class of its models, and a model for each head."""
    main = make_class(family, "MainLayer", MainLayer, family.heads["Model"])
    shared = {"family": family, "main_layer": main, "config_class": family.config_class}
    shared |= {"base_model_prefix": family.prefix, "__module__": "flowformers", "__doc__": TFPreTrainedModel.__doc__}
    base = type(f"TF{family.stem}PreTrainedModel", (TFPreTrainedModel,), shared)
    models = [make_class(family, suffix, base, spec) for suffix, spec in family.heads.items()]
    return {made.__name__: made for made in (main, base, *models)}


@cache
def classes() -> dict[str, Any]:
    """Every public class by its name."""
    return {name: made for family in families().values() for name, made in family_classes(family).items()}


def class_for(model_type: object, task: str) -> Any:
    """The class of a family that an Auto class offers for a task ("ModelForMaskedLM"), or None."""
    family = family_of(model_type)
    for suffix, spec in family.heads.items():
        if task in spec.auto:
            return classes()[f"TF{family.stem}{suffix}"]
    # Families without pre-training heads of their own were pre-trained on masked words alone.
    return class_for(model_type, "ModelForMaskedLM") if task == "ModelForPreTraining" else None
