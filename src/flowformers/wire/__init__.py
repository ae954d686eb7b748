"""TensorFlow Serving's messages: protocol buffers, JSON forms, codes. Needs no TensorFlow.

The stub modules have the names that tensorflow-serving-api gives them: `from flowformers.wire import predict_pb2`.
"""
