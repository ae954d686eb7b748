"""Messages of tensorflow_serving/config/monitoring_config.proto."""

from flowformers.wire.descriptors import getter

__getattr__ = getter("tensorflow_serving/config/monitoring_config.proto")
