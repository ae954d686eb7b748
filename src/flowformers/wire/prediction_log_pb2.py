"""Messages of tensorflow_serving/apis/prediction_log.proto."""

from flowformers.wire.descriptors import getter

__getattr__ = getter("tensorflow_serving/apis/prediction_log.proto")
