"""create_optimizer, as transformers' TensorFlow had it (optimization_tf.py)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import keras

from flowformers.errors import InvalidInput
from flowformers.training.schedule import WarmUp

# Norms and biases: pulling them towards zero is no regularisation (Devlin et al. 2018, appendix).
NOT_DECAYED = ("gamma", "beta", "bias")


def create_optimizer(
    init_lr: float,
    num_train_steps: int,
    num_warmup_steps: int,
    min_lr_ratio: float = 0.0,
    adam_beta1: float = 0.9,
    adam_beta2: float = 0.999,
    adam_epsilon: float = 1e-8,
    adam_clipnorm: float | None = None,
    adam_global_clipnorm: float | None = None,
    weight_decay_rate: float = 0.0,
    power: float = 1.0,
    include_in_weight_decay: list[str] | None = None,
) -> tuple[Any, Any]:
    """(optimizer, schedule): warm-up to init_lr, then polynomial decay to init_lr * min_lr_ratio at num_train_steps.

    AdamW (Loshchilov and Hutter 2017, arXiv:1711.05101) where weight_decay_rate is above zero, else Adam; norms and
    biases are not decayed. include_in_weight_decay: see SparingAdamW. Raises InvalidInput where the warm-up is longer
    than the training.
    """
    if not 0 <= num_warmup_steps <= num_train_steps:
        raise InvalidInput(
            f"expected 0 <= num_warmup_steps <= num_train_steps; got {num_warmup_steps} and {num_train_steps}"
        )
    schedule: Any = keras.optimizers.schedules.PolynomialDecay(
        init_lr, max(1, num_train_steps - num_warmup_steps), init_lr * min_lr_ratio, power=power
    )
    if num_warmup_steps:
        schedule = WarmUp(init_lr, schedule, num_warmup_steps)
    adam = {
        "beta_1": adam_beta1,
        "beta_2": adam_beta2,
        "epsilon": adam_epsilon,
        "clipnorm": adam_clipnorm,
        "global_clipnorm": adam_global_clipnorm,
    }
    if weight_decay_rate <= 0:
        return keras.optimizers.Adam(schedule, **adam), schedule
    included = include_in_weight_decay or ()
    return SparingAdamW(schedule, weight_decay_rate, included, **adam), schedule


@keras.saving.register_keras_serializable(package="flowformers")
class SparingAdamW(keras.optimizers.AdamW):  # type: ignore[misc]
    """AdamW that decays neither norms nor biases.

    include_in_weight_decay: regular expressions; a variable is decayed all the same where one is found in its path,
    which is its kind of layer and its name: layer_norm/gamma, dense_3/bias.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        weight_decay: float = 0.004,
        include_in_weight_decay: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, weight_decay, **kwargs)
        self.include_in_weight_decay = list(include_in_weight_decay)

    def build(self, variables: Sequence[Any]) -> None:
        """Keras' own, called with the variables to train."""
        if not self.built:
            self.exclude_from_weight_decay([variable for variable in variables if self._is_spared(variable)])
        super().build(variables)

    def _is_spared(self, variable: Any) -> bool:
        included = any(re.search(pattern, variable.path) for pattern in self.include_in_weight_decay)
        return variable.name in NOT_DECAYED and not included

    def get_config(self) -> dict[str, Any]:
        """What Keras needs to make the optimiser anew."""
        return {**super().get_config(), "include_in_weight_decay": self.include_in_weight_decay}
