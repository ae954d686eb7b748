"""Messages of tensorflow_serving/apis/get_model_metadata.proto."""

from flowformers.wire.descriptors import getter

__getattr__ = getter("tensorflow_serving/apis/get_model_metadata.proto")
