"""TensorFlow Serving's messages: protocol buffers, JSON forms, codes. Needs no TensorFlow.

"TF Serving protocol, section N" in comments, and "protocol N" in tests, is a section of docs/protocol.md.

The stub modules have the names that tensorflow-serving-api gives them: `from flowformers.wire import predict_pb2`.
"""
