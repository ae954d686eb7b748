"""Ask a served sentiment model over gRPC, as in "Faster TensorFlow models in Hugging Face Transformers".

    flowformers serve my_model --model_name bert
    python examples/grpc_client.py my_model

The stubs come from flowformers; those of tensorflow-serving-api work unchanged. As in rest_client.py, the label is the
argmax of the logits, not of their absolute values.
"""

import sys

import grpc
import numpy as np
import tensorflow as tf

from flowformers import AutoTokenizer, BertConfig
from flowformers.wire import predict_pb2, prediction_service_pb2_grpc

SENTENCE = "I love the new TensorFlow update in transformers."


def main(folder: str, target: str = "localhost:8500") -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    config = BertConfig.from_pretrained(folder)
    batch = tokenizer(SENTENCE, return_tensors="tf")
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "bert"
    request.model_spec.signature_name = "serving_default"
    for name, tensor in batch.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(tensor, dtype=tf.int32, shape=tensor.shape))
    with grpc.insecure_channel(target) as channel:
        result = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout=30)
    logits = result.outputs["logits"].float_val
    print(config.id2label[int(np.argmax(logits))])


if __name__ == "__main__":
    main(*sys.argv[1:])
