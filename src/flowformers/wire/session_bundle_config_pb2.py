"""Messages of tensorflow_serving/servables/tensorflow/session_bundle_config.proto."""

from flowformers.wire.descriptors import getter

__getattr__ = getter("tensorflow_serving/servables/tensorflow/session_bundle_config.proto")
