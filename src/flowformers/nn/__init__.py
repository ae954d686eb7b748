"""Keras layers with TensorFlow-op bodies: embeddings, positions, attention, block, the one encoder; packing."""
