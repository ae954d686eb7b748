"""Client stub and server registration of ModelService."""

from typing import Any

from flowformers.wire.descriptors import service
from flowformers.wire.stubs import add_to_server, stub_class

SERVICE = service("tensorflow_serving/apis/model_service.proto", "tensorflow.serving.ModelService")
ModelServiceStub = stub_class(SERVICE)


def add_ModelServiceServicer_to_server(servicer: Any, server: Any) -> None:
    """Serve the servicer's GetModelStatus and HandleReloadConfigRequest."""
    add_to_server(SERVICE, servicer, server)
