"""Normal distributions, truncated to the range of a factor."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtr, ndtri, ndtri_exp

from m3di.latents.factor import Factor

DEEP = -35.0  # standard deviations; at -38 the CDF of the normal distribution is 0 in float64


def truncated(
    u: NDArray[np.float64], mean: NDArray[np.float64], std: float | NDArray[np.float64], factor: Factor
) -> NDArray[np.float64]:
    """Inverse CDF of normal distributions truncated to the factor's range."""
    low, high = factor.bounds
    a, b = (low - mean) / std, (high - mean) / std
    # Far in the upper tail the CDF rounds to 1: there, mirror the problem to the lower tail.
    mirrored = a > 0
    a, b = np.where(mirrored, -b, a), np.where(mirrored, -a, b)
    u = np.where(mirrored, 1.0 - u, u)
    z = ndtri(ndtr(a) + u * (ndtr(b) - ndtr(a)))
    # So far in the tail that the CDF is 0 itself (a mean far outside the range): by its logarithm.
    deep = b < DEEP
    if np.any(deep):
        shifted = log_ndtr(b) + np.log(u + (1.0 - u) * np.exp(log_ndtr(a) - log_ndtr(b)))
        z = np.where(deep, ndtri_exp(shifted), z)
    return np.clip(mean + std * np.where(mirrored, -z, z), low, high)
