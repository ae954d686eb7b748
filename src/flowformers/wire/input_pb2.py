"""Messages of tensorflow_serving/apis/input.proto."""

from flowformers.wire.descriptors import getter

__getattr__ = getter("tensorflow_serving/apis/input.proto")
