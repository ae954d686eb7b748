"""Messages of tensorflow/core/example/example.proto."""

from flowformers.wire.descriptors import getter

__getattr__ = getter("tensorflow/core/example/example.proto")
