"""compile() without a loss trains on the model's own loss, as in transformers; an explicit loss is Keras' business."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import tensorflow as tf

from flowformers.errors import InvalidInput
from flowformers.models.outputs import OUTPUTS, ModelOutput
from flowformers.types import Tensor


def plain(x: Any) -> Any:
    """A tokenizer's output as the dict that Keras' data adapters know."""
    return dict(x) if isinstance(x, Mapping) and type(x) is not dict else x


def with_plain_data(loop: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Call fit, evaluate or predict of Keras, whose parameters may be given by position, with data that is plain."""
    given = inspect.signature(loop).bind(*args, **kwargs)
    for name in {"x", "y", "validation_data"} & set(given.arguments):
        data = given.arguments[name]
        parts = name == "validation_data" and isinstance(data, list | tuple)
        given.arguments[name] = tuple(map(plain, data)) if parts else plain(data)
    return loop(*given.args, **given.kwargs)


def forget_traced(model: Any) -> None:
    """Let Keras trace fit, evaluate and predict anew: it keeps what it has traced, whatever of the model is changed.

    Whoever else keeps what was traced of the model can tell by its trace_key.
    """
    model.train_function = model.test_function = model.predict_function = None
    model.trace_key = object()


def _build_optimizer(model: Any) -> None:
    """Make the optimiser's variables: Keras would while it traces a step, and TensorFlow then traces it once more."""
    optimizer = getattr(model, "optimizer", None)
    if optimizer is not None and not optimizer.built:
        with model.distribute_strategy.scope():
            optimizer.build(model.trainable_variables)


class OwnLoss:
    """The parts of Keras' training loop that know a head's labels. Mixed in before keras.Model."""

    head: Any
    head_spec: ClassVar[Any]
    loss: Any
    trace_key: object = None  # another one after each change of what a trace holds: precision, variables

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        """keras.Model.fit; x, also that of validation_data, may be a tokenizer's output, labels may be in x or y."""
        _build_optimizer(self)
        return with_plain_data(super().fit, args, kwargs)  # type: ignore[misc]

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """keras.Model.evaluate; x may be a tokenizer's output, labels may be in x or y."""
        return with_plain_data(super().evaluate, args, kwargs)  # type: ignore[misc]

    def predict(self, *args: Any, **kwargs: Any) -> ModelOutput:
        """keras.Model.predict; returns the output object with NumPy arrays. Batches must be of one length."""
        answers = with_plain_data(super().predict, args, kwargs)  # type: ignore[misc]
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
        """The compiled loss on the logits, or else the head's own loss with labels from x or y.

        A float32 scalar: under a tf.distribute strategy this replica's share of the mean.
        """
        if self.loss is not None:
            answers = self._answers(y_pred)
            return super().compute_loss(  # type: ignore[misc]
                x, self._targets(x, y), answers, sample_weight, training=training
            )
        losses = self.head.loss(y_pred, self._own_labels(x, y))
        weighted = losses if sample_weight is None else losses * tf.cast(sample_weight, losses.dtype)
        total = tf.reduce_mean(weighted) + tf.add_n([*self.losses, 0.0])  # type: ignore[attr-defined]
        # As Keras' own losses do: gradients of the replicas are added up.
        return total / tf.distribute.get_strategy().num_replicas_in_sync

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
