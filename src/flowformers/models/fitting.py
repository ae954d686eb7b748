"""compile() without a loss trains on the model's own loss, as in transformers; an explicit loss is Keras' business."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import tensorflow as tf

from flowformers.errors import InvalidInput
from flowformers.models.outputs import ModelOutput
from flowformers.types import Tensor


def plain(x: Any) -> Any:
    """A tokenizer's output as the dict that Keras' data adapters know."""
    return dict(x) if isinstance(x, Mapping) and type(x) is not dict else x


class OwnLoss:
    """The parts of Keras' training loop that know a head's labels. Mixed in before keras.Model."""

    head: Any
    head_spec: ClassVar[Any]
    _compile_loss: Any

    def fit(self, x: Any = None, y: Any = None, **kwargs: Any) -> Any:
        """keras.Model.fit; x may be a tokenizer's output, labels may be in x or y."""
        return super().fit(plain(x), plain(y), **kwargs)  # type: ignore[misc]

    def evaluate(self, x: Any = None, y: Any = None, **kwargs: Any) -> Any:
        """keras.Model.evaluate; x may be a tokenizer's output, labels may be in x or y."""
        return super().evaluate(plain(x), plain(y), **kwargs)  # type: ignore[misc]

    def predict(self, x: Any, **kwargs: Any) -> ModelOutput:
        """keras.Model.predict; returns the output object with NumPy arrays. Batches must be of one length."""
        answers = super().predict(plain(x), **kwargs)  # type: ignore[misc]
        from flowformers.models.outputs import OUTPUTS

        return OUTPUTS[self.head_spec.output](answers)

    def predict_step(self, data: Any) -> dict[str, Tensor]:
        """One batch, as a plain dict: Keras joins the batches of a dict by key."""
        x = data[0] if isinstance(data, tuple) else data
        inputs = (
            {name: value for name, value in x.items() if name not in self.head_spec.labels}
            if isinstance(x, dict)
            else x
        )
        return dict(self(inputs, training=False, return_dict=True))  # type: ignore[operator]

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Tensor:
        """The compiled loss on the logits, or else the head's own loss with labels from x or y. A float32 scalar."""
        if self._compile_loss is not None:
            answers = self._answers(y_pred)
            return super().compute_loss(  # type: ignore[misc]
                x, self._targets(x, y), answers, sample_weight, training=training
            )
        losses = self.head.loss(y_pred, self._own_labels(x, y))
        weighted = losses if sample_weight is None else losses * tf.cast(sample_weight, losses.dtype)
        return tf.reduce_mean(weighted) + tf.add_n([*self.losses, 0.0])  # type: ignore[attr-defined]

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """Compiled metrics see the logits, not the output object."""
        return super().compute_metrics(x, self._targets(x, y), self._answers(y_pred), sample_weight)  # type: ignore[misc,no-any-return]

    def _own_labels(self, x: Any, y: Any) -> dict[str, Tensor]:
        names = tuple(self.head_spec.labels)
        if not names:
            raise InvalidInput(f"{type(self).__name__} has no loss of its own: give compile(loss=...)")
        found = {name: x[name] for name in names if isinstance(x, Mapping) and name in x}
        if isinstance(y, Mapping):
            found |= {name: y[name] for name in names if name in y}
        elif y is not None and len(names) == 1:
            found[names[0]] = y
        missing = [name for name in names if name not in found]
        if missing:
            raise InvalidInput(f"expected labels named {', '.join(names)} in x or y; {', '.join(missing)} is missing")
        return found

    def _targets(self, x: Any, y: Any) -> Any:
        """What compiled losses and metrics compare with: y, or else the labels inside x."""
        if not self.head_spec.labels or (y is not None and not isinstance(y, Mapping)):
            return y
        labels = self._own_labels(x, y)
        return (
            next(iter(labels.values()))
            if len(labels) == 1
            else {self.head_spec.labels[k]: v for k, v in labels.items()}
        )

    def _answers(self, y_pred: Any) -> Any:
        outputs = tuple(self.head_spec.labels.values()) or ("logits",)
        return y_pred[outputs[0]] if len(outputs) == 1 else {name: y_pred[name] for name in outputs}
