"""Contrastive losses: SymInfoNCE with its variants, and its asymptotic form as a diagnostic."""

from __future__ import annotations

from m3di.learn.losses.asymptotic import Asymptotic, asymptotic_terms
from m3di.learn.losses.infonce import NEGATIVES, Negatives, SymInfoNCE
from m3di.learn.losses.similarity import SIMILARITIES, Similarity, check_similarity
from m3di.learn.losses.temperature import LEAST_TEMPERATURE, check_temperature

__all__ = [
    "LEAST_TEMPERATURE",
    "NEGATIVES",
    "SIMILARITIES",
    "Asymptotic",
    "Negatives",
    "Similarity",
    "SymInfoNCE",
    "asymptotic_terms",
    "check_similarity",
    "check_temperature",
]
