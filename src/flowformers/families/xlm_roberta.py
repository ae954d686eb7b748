"""XLM-RoBERTa (Conneau et al. 2019, arXiv:1911.02116): RoBERTa's code with another vocabulary."""

from __future__ import annotations

from dataclasses import replace

from flowformers.families import roberta

DEFAULTS = roberta.DEFAULTS | {"vocab_size": 30522}
FAMILY = replace(roberta.FAMILY, model_type="xlm-roberta", stem="XLMRoberta", defaults=DEFAULTS)
