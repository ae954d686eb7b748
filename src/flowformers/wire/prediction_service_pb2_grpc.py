"""Client stub and server registration of PredictionService."""

from typing import Any

from flowformers.wire.descriptors import service
from flowformers.wire.stubs import add_to_server, stub_class

SERVICE = service("tensorflow_serving/apis/prediction_service.proto", "tensorflow.serving.PredictionService")
PredictionServiceStub = stub_class(SERVICE)


def add_PredictionServiceServicer_to_server(servicer: Any, server: Any) -> None:
    """Serve the servicer's Predict, Classify, Regress, MultiInference and GetModelMetadata."""
    add_to_server(SERVICE, servicer, server)
