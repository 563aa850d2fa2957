"""Metrics of what an encoding holds: one file each, NumPy in, numbers out; no encoder and no m3di dataset needed."""

from __future__ import annotations

from m3di.evaluate.bootstrap import Bootstrap, interval, interval_over_seeds
from m3di.evaluate.probes.alignment import potentials, squared_distances_of_pairs, uniformity
from m3di.evaluate.probes.forest_importances import Dci, completeness, dci, disentanglement
from m3di.evaluate.probes.information import mutual_information
from m3di.evaluate.probes.information_gap import mig
from m3di.evaluate.probes.kernel_ridge import KernelRidge, search_kernel_ridge
from m3di.evaluate.probes.leakage import content_features
from m3di.evaluate.probes.linear import Linear, fit_linear
from m3di.evaluate.probes.logistic import predict_logistic
from m3di.evaluate.probes.mcc import absolute_correlations, assign, mean_correlation
from m3di.evaluate.probes.mlp import predict_mlp
from m3di.evaluate.probes.modular_dimensions import modularity
from m3di.evaluate.probes.paired import Difference, paired_bootstrap, paired_over_seeds
from m3di.evaluate.probes.retrieval import Ranks, hits, ranks
from m3di.evaluate.probes.separated_attributes import sap
from m3di.evaluate.r2 import circle_points, circular_r2, r2_scores
from m3di.evaluate.standardised import standardise

__all__ = [
    "Bootstrap",
    "Dci",
    "Difference",
    "KernelRidge",
    "Linear",
    "Ranks",
    "absolute_correlations",
    "assign",
    "circle_points",
    "circular_r2",
    "completeness",
    "content_features",
    "dci",
    "disentanglement",
    "fit_linear",
    "hits",
    "interval",
    "interval_over_seeds",
    "mean_correlation",
    "mig",
    "modularity",
    "mutual_information",
    "paired_bootstrap",
    "paired_over_seeds",
    "potentials",
    "predict_logistic",
    "predict_mlp",
    "r2_scores",
    "ranks",
    "sap",
    "search_kernel_ridge",
    "squared_distances_of_pairs",
    "standardise",
    "uniformity",
]
