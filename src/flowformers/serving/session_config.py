"""TensorFlow's own settings for a session, from the server's (TF Serving protocol, section 12)."""

from __future__ import annotations

import os
from typing import Any

from flowformers.serving.cpus import usable_cpus
from flowformers.serving.model_config import read_text_proto
from flowformers.serving.settings import Settings


def session_config(settings: Settings) -> Any:
    """A ConfigProto: the file's, with the flags over it. Raises NotFound, InvalidInput."""
    from tensorflow.core.protobuf import config_pb2, rewriter_config_pb2

    config = config_pb2.ConfigProto()
    # The optimiser runs at the first call of each signature. A second round and swapping to save memory change nothing
    # in a graph of an encoder, and take a third of the time until a server is ready. A file may ask for them.
    config.graph_options.rewrite_options.meta_optimizer_iterations = rewriter_config_pb2.RewriterConfig.ONE
    config.graph_options.rewrite_options.memory_optimization = rewriter_config_pb2.RewriterConfig.NO_MEM_OPT
    if settings.tensorflow_session_config_file is not None:
        config.MergeFrom(read_text_proto(settings.tensorflow_session_config_file, config_pb2.ConfigProto()))
    both = settings.tensorflow_session_parallelism
    if intra := settings.tensorflow_intra_op_parallelism or both:
        config.intra_op_parallelism_threads = intra
    elif not config.intra_op_parallelism_threads and (cpus := usable_cpus()) < (os.cpu_count() or 1):
        config.intra_op_parallelism_threads = cpus
    if inter := settings.tensorflow_inter_op_parallelism or both:
        config.inter_op_parallelism_threads = inter
    if settings.per_process_gpu_memory_fraction:
        config.gpu_options.per_process_gpu_memory_fraction = settings.per_process_gpu_memory_fraction
    if settings.mixed_precision:
        rewrites = config.graph_options.rewrite_options
        rewrites.auto_mixed_precision_onednn_bfloat16 = rewriter_config_pb2.RewriterConfig.ON
    return config
