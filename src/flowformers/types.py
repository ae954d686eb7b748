"""The values that flow, and the axis legend.

B batch, S sequence, H hidden, N heads, D head width, F feed-forward, V vocabulary, C classes, T real tokens of a batch.
"""

from __future__ import annotations

from typing import Any, TypeAlias

# TensorFlow ships no usable annotations for tensors; these names carry shape and dtype in docstrings.
Tensor: TypeAlias = Any
Array: TypeAlias = Any
