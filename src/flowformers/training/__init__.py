"""Optimiser and learning-rate schedule for fine-tuning."""

from __future__ import annotations

from flowformers.training.optimizer import create_optimizer
from flowformers.training.schedule import WarmUp

__all__ = ["WarmUp", "create_optimizer"]
