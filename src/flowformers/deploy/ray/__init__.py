"""Ray Serve speaks TensorFlow Serving's protocol; Ray Data scores in bulk. Needs the extra `ray`."""

from flowformers.deploy.ray.scoring import score
from flowformers.deploy.ray.serving import application, grpc_options

__all__ = ["application", "grpc_options", "score"]
