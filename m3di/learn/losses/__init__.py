"""Losses by name (SymInfoNCE with its variants, and others), and the asymptotic form of SymInfoNCE as a diagnostic."""

from __future__ import annotations

from m3di.learn.choices import SIMILARITIES
from m3di.learn.losses.asymptotic import asymptotic_terms
from m3di.learn.losses.infonce import SymInfoNCE
from m3di.learn.losses.objective import LOSSES, LossSettings, Objective, build_loss, register_loss, similarity_of
from m3di.learn.losses.temperature import LEAST_TEMPERATURE

__all__ = [
    "LEAST_TEMPERATURE",
    "LOSSES",
    "SIMILARITIES",
    "LossSettings",
    "Objective",
    "SymInfoNCE",
    "asymptotic_terms",
    "build_loss",
    "register_loss",
    "similarity_of",
]
