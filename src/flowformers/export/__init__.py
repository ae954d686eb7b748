"""A model -> a SavedModel on disk: signatures, writing, verification by reload."""

from __future__ import annotations

from flowformers.export.batching import Batching
from flowformers.export.checkpoints import export_checkpoint
from flowformers.export.graph import Graph
from flowformers.export.inspection import oldest_serving
from flowformers.export.write import write_saved_model

__all__ = ["Batching", "Graph", "export_checkpoint", "oldest_serving", "write_saved_model"]
