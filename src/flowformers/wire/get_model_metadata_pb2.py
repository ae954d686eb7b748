"""Messages of tensorflow_serving/apis/get_model_metadata.proto."""

from typing import Any

from flowformers.wire.descriptors import messages

_MESSAGES = messages("tensorflow_serving/apis/get_model_metadata.proto")


def __getattr__(name: str) -> Any:
    if name in _MESSAGES:
        return _MESSAGES[name]
    raise AttributeError(f"{__name__} has {', '.join(_MESSAGES)}; there is no {name!r}")
