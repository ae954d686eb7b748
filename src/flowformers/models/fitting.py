"""compile() without a loss trains on the model's own loss, as in transformers; an explicit loss is Keras' business."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import keras
import tensorflow as tf

from flowformers.errors import InvalidInput
from flowformers.models.inputs import spread
from flowformers.models.outputs import OUTPUTS, ModelOutput
from flowformers.types import Tensor


def plain(x: Any) -> Any:
    """A tokenizer's output as the dict that Keras' data adapters know."""
    return dict(x) if isinstance(x, Mapping) and type(x) is not dict else x


def with_plain_data(loop: Callable[..., Any], args: Any, kwargs: Any) -> inspect.BoundArguments:
    """The arguments of fit, evaluate, ... of Keras, which may be given by position, with data that is plain."""
    given = inspect.signature(loop).bind(*args, **kwargs)
    for name in {"x", "y", "validation_data"} & set(given.arguments):
        data = given.arguments[name]
        parts = name == "validation_data" and isinstance(data, list | tuple)
        given.arguments[name] = tuple(map(plain, data)) if parts else plain(data)
    return given


def run(loop: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Call a loop of Keras with plain data."""
    given = with_plain_data(loop, args, kwargs)
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


# What transformers 4 called the model's own loss in compile().
OWN = ("auto_with_warning", "passthrough")


class OwnLoss:
    """The parts of Keras' training loop that know a head's labels. Mixed in before keras.Model.

    A call() of one's own may return an output object, or anything else, which the compiled loss and metrics then see.
    """

    head: Any
    head_spec: ClassVar[Any]
    family: ClassVar[Any]
    call_names: ClassVar[tuple[str, ...]]
    loss: Any
    trace_key: object = None  # another one after each change of what a trace holds: precision, variables
    _is_called_as_here: Callable[[], bool]

    def compile(self, optimizer: Any = "rmsprop", loss: Any = None, *args: Any, **kwargs: Any) -> None:
        """keras.Model.compile; no loss, or model.compute_loss as older code has it, is the head's own."""
        own = loss in OWN if isinstance(loss, str) else loss in (self.compute_loss, self.hf_compute_loss)
        super().compile(optimizer, None if own else loss, *args, **kwargs)  # type: ignore[misc]

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        """keras.Model.fit; x, also that of validation_data, may be a tokenizer's output, labels may be in x or y."""
        _build_optimizer(self)
        loop = super().fit  # type: ignore[misc]
        given = with_plain_data(loop, args, kwargs)
        if given.arguments.get("class_weight") is not None:
            self._check_class_weight(given.arguments)
        return loop(*given.args, **given.kwargs)

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """keras.Model.evaluate; x may be a tokenizer's output, labels may be in x or y."""
        return run(super().evaluate, args, kwargs)  # type: ignore[misc]

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        """keras.Model.predict; returns the output object with NumPy arrays. Batches must be of one length."""
        return self._as_output(run(super().predict, args, kwargs))  # type: ignore[misc]

    def train_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """keras.Model.train_on_batch; x may be a tokenizer's output, labels may be in x or y."""
        return run(super().train_on_batch, args, kwargs)  # type: ignore[misc]

    def test_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """keras.Model.test_on_batch; x may be a tokenizer's output, labels may be in x or y."""
        return run(super().test_on_batch, args, kwargs)  # type: ignore[misc]

    def predict_on_batch(self, x: Any) -> Any:
        """keras.Model.predict_on_batch; returns the output object with NumPy arrays."""
        return self._as_output(super().predict_on_batch(plain(x)))  # type: ignore[misc]

    def _as_output(self, answers: Any) -> Any:
        return OUTPUTS[self.head_spec.output](answers) if isinstance(answers, dict) else answers

    def test_step(self, data: Any) -> Any:
        """Keras' own. Where a loss sees padded positions it gets those, as in training: call() is told the labels."""
        x, y, weights = keras.utils.unpack_x_y_sample_weight(data)
        if self.head_spec.couples_positions and self._is_called_as_here():
            x = spread(self.call_names, (x,), self._labels_of(y))
        return super().test_step((x, y, weights))  # type: ignore[misc]

    def predict_step(self, data: Any) -> Any:
        """One batch, as a plain dict: Keras joins the batches of a dict by key."""
        x = data[0] if isinstance(data, tuple) else data
        inputs = (
            {name: value for name, value in x.items() if name not in self.head_spec.labels}
            if isinstance(x, dict)
            else x
        )
        named = {"return_dict": True} if self._is_called_as_here() else {}
        answers = self(inputs, training=False, **named)  # type: ignore[operator]
        return dict(answers) if isinstance(answers, ModelOutput) else answers

    def hf_compute_loss(self, labels: Any, logits: Any) -> Tensor:
        """The head's own loss, as in transformers: of each sequence, float32 [B], or a mean over tokens, float32 [1].

        Where a head has two labels, labels is a dict of them and logits a pair.
        """
        names, outputs = tuple(self.head_spec.labels), tuple(self.head_spec.labels.values())
        answers = dict(zip(outputs, logits, strict=True)) if len(outputs) == 2 else dict.fromkeys(outputs[:1], logits)
        given = labels if isinstance(labels, Mapping) else dict.fromkeys(names[:1], labels)
        return self._own_loss(answers, self._own_labels(given, None))

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Tensor:
        """The compiled loss on the logits, or else the head's own loss with labels from x or y. A float32 scalar:
        under a tf.distribute strategy this replica's share of the mean.
        """
        answers = self._answers(x, y_pred)
        if self.loss is not None:
            targets, weights = self._targets(x, y), self._by_output(sample_weight)
            return super().compute_loss(x, targets, answers, weights, training=training)  # type: ignore[misc]
        losses = self._own_loss(answers, self._own_labels(x, y), sample_weight)
        # A strategy adds up the replicas' gradients, so each takes its share of the loss, as Keras' own losses do.
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        return (tf.reduce_mean(losses) + tf.add_n([*self.losses, 0.0])) / replicas  # type: ignore[attr-defined]

    def _own_loss(self, answers: Any, labels: Mapping[str, Tensor], weights: Any = None) -> Tensor:
        outputs = tuple(self.head_spec.labels.values())
        named = answers if isinstance(answers, Mapping) else dict.fromkeys(outputs[:1], answers)
        if weights is not None and not isinstance(weights, Mapping):
            weights = dict.fromkeys(self.head_spec.labels, weights)
        return self.head.loss(
            named, {name: tf.convert_to_tensor(label) for name, label in labels.items()}, weights or {}
        )

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """Compiled metrics see the logits, not the output object."""
        targets, answers = self._targets(x, y), self._answers(x, y_pred)
        return super().compute_metrics(x, targets, answers, self._by_output(sample_weight))  # type: ignore[misc,no-any-return]

    def _own_labels(self, x: Any, y: Any) -> dict[str, Tensor]:
        names = tuple(self.head_spec.labels)
        if not names:
            raise InvalidInput(f"{type(self).__name__} has no loss of its own: give compile(loss=...)")
        found = {name: x[name] for name in names if isinstance(x, Mapping) and name in x}
        found |= self._labels_of(y)
        missing = [name for name in names if name not in found]
        if missing:
            raise InvalidInput(f"expected labels named {', '.join(names)} in x or y; {', '.join(missing)} is missing")
        return found

    def _labels_of(self, y: Any) -> dict[str, Tensor]:
        """y by label: a mapping, the label itself, or where there are two a pair in the order of call()."""
        names = tuple(self.head_spec.labels)
        if isinstance(y, Mapping):
            return {name: y[name] for name in names if name in y}
        if len(names) == 2 and isinstance(y, tuple | list):
            return dict(zip(names, y, strict=True))
        return {names[0]: y} if len(names) == 1 and y is not None else {}

    def _targets(self, x: Any, y: Any) -> Any:
        """What compiled losses and metrics compare with: y, or else the labels inside x."""
        if not self.head_spec.labels or (y is not None and not isinstance(y, Mapping)):
            return y
        labels = self._own_labels(x, y)
        return next(iter(labels.values())) if len(labels) == 1 else self._by_output(labels)

    def _by_output(self, given: Any) -> Any:
        """Labels or their weights by the outputs that they belong to, where they are by label."""
        names = self.head_spec.labels
        by_label = isinstance(given, Mapping) and set(given) <= set(names)
        return {names[name]: value for name, value in given.items()} if by_label else given

    def _answers(self, x: Any, y_pred: Any) -> Any:
        """The outputs that labels belong to, by name where there are two; what is no output of ours as it is."""
        outputs = tuple(self.head_spec.labels.values()) or ("logits",)
        found = y_pred
        if isinstance(y_pred, tuple) and self._is_called_as_here():  # config.return_dict is False
            labelled = isinstance(x, Mapping) and any(name in x for name in self.head_spec.labels)
            found = dict(zip(outputs, y_pred[labelled:], strict=False))
        elif not isinstance(y_pred, ModelOutput):
            return y_pred
        return found[outputs[0]] if len(outputs) == 1 else {name: found[name] for name in outputs}

    def _symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        """Keras' own, which under a strategy builds metrics on the mean of the replicas' batches, so on float ids."""
        if data_batch is not None and self._is_called_as_here():
            x, *rest = data_batch if isinstance(data_batch, tuple) else (data_batch,)
            data_batch = (self._whole(x), *rest)
        super()._symbolic_build(iterator, data_batch)  # type: ignore[misc]

    def _whole(self, x: Any) -> Any:
        """Arguments with ids and masks as integers again."""
        if isinstance(x, dict):
            ids = set(self.family.signature) | {"position_ids"}
            return {name: tf.cast(value, tf.int32) if name in ids else value for name, value in x.items()}
        return keras.tree.map_structure(lambda value: tf.cast(value, tf.int32), x)

    def _check_class_weight(self, given: Mapping[str, Any]) -> None:
        """Raises InvalidInput where Keras would take weights of something else, or fail without a reason."""
        if "sequence" in self.head.label_axes:
            raise InvalidInput(
                f"class_weight is for one label in each row, and {type(self).__name__} has one for each token: "
                "give sample_weight of the labels' shape, the weight of each label"
            )
        if given.get("y") is None and isinstance(given.get("x"), Mapping):
            raise InvalidInput("class_weight needs the labels as y, fit(x, y); they are in x, or there are none")
