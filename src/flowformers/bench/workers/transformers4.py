"""transformers 4, the last with TensorFlow, on tf-keras: eager, or in a tf.function (its SavedModel can't be written
with today's TensorFlow). Weights go in by its own name table: reading safetensors fails in 4.57.3."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from .hugging_face import weights_of
from .tensorflow_threads import limited_to, numpy_call

PACKAGES = ("transformers", "tensorflow", "tf-keras")


def load(folder: Path, *, variant: str, threads: int, scratch: Path) -> Any:
    """variant: graph or eager. See workers/__init__.py."""
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    limited_to(threads)
    model = _filled(folder)

    def run(ids: Any, mask: Any) -> Any:
        return model(input_ids=ids, attention_mask=mask, training=False).last_hidden_state

    return numpy_call(run, graph=variant == "graph")


def _filled(folder: Path) -> Any:
    from transformers import BertConfig, TFBertModel
    from transformers.modeling_tf_pytorch_utils import load_pytorch_state_dict_in_tf2_model

    model = TFBertModel(BertConfig.from_pretrained(folder))
    return load_pytorch_state_dict_in_tf2_model(model, weights_of(folder), tf_inputs=model.dummy_inputs)
