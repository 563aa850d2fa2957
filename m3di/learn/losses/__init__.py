"""Losses by name (SymInfoNCE with its variants, and others), and the asymptotic form of SymInfoNCE as a diagnostic."""

from __future__ import annotations

from m3di.learn.choices import NEGATIVES, SIMILARITIES, Negatives, Similarity
from m3di.learn.losses.asymptotic import Asymptotic, asymptotic_terms
from m3di.learn.losses.infonce import SymInfoNCE
from m3di.learn.losses.objective import LOSSES, LossSettings, Objective, build_loss, check_loss, register_loss
from m3di.learn.losses.similarity import check_similarity
from m3di.learn.losses.temperature import LEAST_TEMPERATURE, check_temperature

__all__ = [
    "LEAST_TEMPERATURE",
    "LOSSES",
    "NEGATIVES",
    "SIMILARITIES",
    "Asymptotic",
    "LossSettings",
    "Negatives",
    "Objective",
    "Similarity",
    "SymInfoNCE",
    "asymptotic_terms",
    "build_loss",
    "check_loss",
    "check_similarity",
    "check_temperature",
    "register_loss",
]
