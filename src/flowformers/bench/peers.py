"""Who takes part: engine, environment, variant, precision."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Environment:
    """A virtual environment. No requirements: the one that flowformers itself runs in."""

    name: str
    requirements: tuple[str, ...] = ()


# PyTorch is pinned: without a version pip takes the newest, which brings gigabytes of CUDA.
TORCH = "torch==2.13.0"
TENSORFLOW = "tensorflow>=2.21,<2.22"

ENVIRONMENTS = {
    environment.name: environment
    for environment in (
        Environment("flowformers"),
        Environment("google", ("tf-models-official==2.20.0", "safetensors>=0.5")),
        Environment("kerashub", ("keras-hub==0.32.0", TENSORFLOW, "tensorflow-text>=2.21,<2.22", "safetensors>=0.5")),
        Environment("transformers4", ("transformers==4.57.3", TENSORFLOW, "tf-keras>=2.21,<2.22", "safetensors>=0.5")),
        Environment("pytorch", (TORCH, "transformers>=5,<6", "onnx>=1.18", "onnxscript>=0.5")),
        Environment("onnxruntime", ("onnxruntime>=1.23", "onnx>=1.18", "sympy>=1.13", TORCH)),
        Environment("openvino", ("openvino>=2025.4", "nncf>=2.19", "onnx>=1.18")),
        Environment("ctranslate2", ("ctranslate2>=4.6", "transformers>=4.57,<6", TORCH)),
    )
}


@dataclass(frozen=True)
class Peer:
    """One column of a table. needs_onnx: PyTorch's environment writes the model as ONNX first."""

    name: str
    label: str
    environment: str
    worker: str
    variant: str
    precision: str = "fp32"
    needs_onnx: bool = False

    @property
    def answers(self) -> bool:
        """Whether it computes the model; the ceiling does not."""
        return self.worker != "ceiling"


def _onnx(name: str, label: str, engine: str, variant: str, precision: str = "fp32") -> Peer:
    return Peer(name, label, engine, engine, variant, precision, needs_onnx=True)


def _own(suffix: str, label: str, variant: str, precision: str = "fp32") -> Peer:
    return Peer(f"flowformers{suffix}", f"flowformers{label}", "flowformers", "flowformers", variant, precision)


PEERS = {
    peer.name: peer
    for peer in (
        _own("", "", "fp32"),
        _own("-by-length", " by length", "by-length"),
        _own("-bf16", " bf16", "bf16", "bf16"),
        _own("-int8", " int8", "int8", "int8"),
        _own("-eager", " eager", "eager"),
        _own("-graph", " tf.function", "graph"),
        _own("-saved-model", " SavedModel", "saved-model"),
        _own("-grpc", " served, gRPC", "grpc"),
        _own("-rest", " served, REST", "rest"),
        Peer("google", "Google tf-models-official", "google", "google", "graph"),
        Peer("google-eager", "Google, eager", "google", "google", "eager"),
        Peer("kerashub", "KerasHub", "kerashub", "kerashub", "graph"),
        Peer("kerashub-eager", "KerasHub, eager", "kerashub", "kerashub", "eager"),
        Peer("transformers4", "transformers 4 TF", "transformers4", "transformers4", "graph"),
        Peer("transformers4-eager", "transformers 4 TF, eager", "transformers4", "transformers4", "eager"),
        Peer("pytorch", "PyTorch", "pytorch", "pytorch", "fp32"),
        Peer("pytorch-compile", "PyTorch compiled", "pytorch", "pytorch", "compile"),
        Peer("pytorch-bf16", "PyTorch bf16", "pytorch", "pytorch", "bf16", "bf16"),
        _onnx("onnxruntime", "ONNX Runtime", "onnxruntime", "fp32"),
        _onnx("onnxruntime-fused", "ONNX Runtime fused", "onnxruntime", "fused"),
        _onnx("onnxruntime-int8", "ONNX Runtime int8", "onnxruntime", "int8", "int8"),
        _onnx("openvino", "OpenVINO", "openvino", "fp32"),
        _onnx("openvino-bf16", "OpenVINO bf16", "openvino", "bf16", "bf16"),
        _onnx("openvino-int8", "OpenVINO int8", "openvino", "int8", "int8"),
        Peer("ctranslate2", "CTranslate2", "ctranslate2", "ctranslate2", "fp32"),
        Peer("ctranslate2-int8", "CTranslate2 int8", "ctranslate2", "ctranslate2", "int8", "int8"),
        Peer("ceiling", "Dense products alone", "flowformers", "ceiling", "fp32"),
        Peer("ceiling-bf16", "Dense products alone, bf16", "flowformers", "ceiling", "bf16", "bf16"),
    )
}
