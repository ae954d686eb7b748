"""What every public class shares, and the classes themselves."""

from __future__ import annotations

from typing import Any

import keras

from flowformers.families import PretrainedConfig, families
from flowformers.models.auto import AUTO_CLASSES, AutoConfig, architecture, class_of
from flowformers.models.base import TFPreTrainedModel
from flowformers.models.classes import classes
from flowformers.models.outputs import OUTPUTS, ModelOutput
from flowformers.models.sentence import TFSentenceEncoder

__all__ = [
    "AutoConfig",
    "ModelOutput",
    "PretrainedConfig",
    "TFPreTrainedModel",
    "TFSentenceEncoder",
    "architecture",
    "class_of",
    "public",
]

if keras.config.backend() != "tensorflow":
    raise ImportError("flowformers needs Keras on TensorFlow: unset KERAS_BACKEND or set it to 'tensorflow'")


def public() -> dict[str, Any]:
    """Every class that a user may import from flowformers, by its name."""
    configs = {family.config_class.__name__: family.config_class for family in families().values()}
    shared = {
        cls.__name__: cls for cls in (AutoConfig, ModelOutput, PretrainedConfig, TFPreTrainedModel, TFSentenceEncoder)
    }
    return {**classes(), **configs, **AUTO_CLASSES, **OUTPUTS, **shared}
