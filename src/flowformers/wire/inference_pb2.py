"""Messages of tensorflow_serving/apis/inference.proto."""

from flowformers.wire.descriptors import getter

__getattr__ = getter("tensorflow_serving/apis/inference.proto")
