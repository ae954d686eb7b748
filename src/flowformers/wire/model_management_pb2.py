"""Messages of tensorflow_serving/apis/model_management.proto."""

from flowformers.wire.descriptors import getter

__getattr__ = getter("tensorflow_serving/apis/model_management.proto")
