"""The values that flow, and the axis legend.

B batch, S sequence, H hidden, N heads, D head width, F feed-forward, V vocabulary, C classes, T real tokens of a batch.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from numpy.typing import NDArray

# Shapes and dtypes stand in docstrings. TensorFlow ships no usable annotations for tensors.
Tensor: TypeAlias = Any
Array: TypeAlias = NDArray[Any]
