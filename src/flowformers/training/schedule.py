"""Warm-up in front of another schedule (Goyal et al. 2017, arXiv:1706.02677)."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from flowformers.types import Tensor


@keras.saving.register_keras_serializable(package="flowformers")
class WarmUp(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """initial_learning_rate * (step / warmup_steps) ** power, then decay_schedule_fn from its step 0."""

    def __init__(
        self,
        initial_learning_rate: float,
        decay_schedule_fn: Any,
        warmup_steps: int,
        power: float = 1.0,
        name: str | None = None,
    ) -> None:
        super().__init__()
        self.initial_learning_rate, self.warmup_steps, self.power = initial_learning_rate, warmup_steps, power
        self.decay_schedule_fn, self.name = decay_schedule_fn, name

    def __call__(self, step: Any) -> Tensor:
        """step: the number of updates made. Returns the rate, a float32 scalar."""
        done, warmup = tf.cast(step, tf.float32), tf.cast(self.warmup_steps, tf.float32)
        rising = self.initial_learning_rate * tf.pow(tf.math.divide_no_nan(done, warmup), self.power)
        return tf.where(done < warmup, rising, tf.cast(self.decay_schedule_fn(done - warmup), tf.float32))

    def get_config(self) -> dict[str, Any]:
        """What Keras needs to make the schedule anew."""
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "decay_schedule_fn": keras.saving.serialize_keras_object(self.decay_schedule_fn),
            "warmup_steps": self.warmup_steps,
            "power": self.power,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> WarmUp:
        """The schedule that get_config() described."""
        decay = keras.saving.deserialize_keras_object(config["decay_schedule_fn"])
        return cls(**{**config, "decay_schedule_fn": decay})
