"""CamemBERT (Martin et al. 2019, arXiv:1911.03894): RoBERTa's code with a French vocabulary."""

from __future__ import annotations

from dataclasses import replace

from flowformers.families import xlm_roberta

FAMILY = replace(xlm_roberta.FAMILY, model_type="camembert", stem="Camembert")
