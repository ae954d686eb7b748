"""A client for any TensorFlow Serving server, ours included, over REST or gRPC. Needs no TensorFlow.

>>> client = Client("http://localhost:8501", model="bert")        # or grpc://localhost:8500
>>> client.classify(["I love it."])
[Label(label='POSITIVE', score=0.99)]
"""

from flowformers.client.api import AsyncClient, Client
from flowformers.client.calls import Label, Metadata, Signature, TensorInfo, VersionStatus
from flowformers.client.connection import Tls
from flowformers.client.retry import Retry

__all__ = ["AsyncClient", "Client", "Label", "Metadata", "Retry", "Signature", "TensorInfo", "Tls", "VersionStatus"]
