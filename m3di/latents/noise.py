"""Exogenous noise: one counter-based stream per factor, so that a sample's noise depends on nothing but its index."""

from __future__ import annotations

import hashlib
import json

import numpy as np
from numpy.typing import NDArray

WORDS_PER_COUNTER = 4  # Philox 4x64 turns one counter into four words


MAX_GAP = 4096  # samples between two that are drawn in one run: a new run costs as much


def stream_key(seed: int, split: str, factor: str, view: str, attempt: int = 0) -> int:
    """The 128-bit Philox key of a stream. JSON keeps the parts apart, even if they hold separators."""
    identity = json.dumps([seed, split, factor, view, *([attempt] if attempt else [])]).encode()
    return int.from_bytes(hashlib.blake2b(identity, digest_size=16).digest(), "little")


def uniforms(
    seed: int, split: str, factor: str, view: str, *, start: int, n: int, attempt: int = 0
) -> NDArray[np.float64]:
    """Uniform numbers `start` to `start + n - 1` of one stream.

    Args:
        seed: Seed of the dataset.
        split: Name of the split.
        factor: Name of the factor.
        view: Name of the view, or "" for noise that all views share.
        start: Index of the first sample.
        n: Number of samples.
        attempt: Which attempt of the samples, where a condition rejects some.

    Returns:
        float64 [n] in the open interval (0, 1), so that every inverse CDF is finite.
    """
    generator = np.random.Philox(key=stream_key(seed, split, factor, view, attempt))
    generator.advance(start // WORDS_PER_COUNTER)
    skip = start % WORDS_PER_COUNTER
    words = np.asarray(generator.random_raw(skip + n), dtype=np.uint64)[skip:]
    # 52 bits and half a step: never 0, never 1, and exact in float64.
    return ((words >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


def uniforms_at(
    seed: int,
    split: str,
    factor: str,
    view: str,
    *,
    indices: NDArray[np.int64],
    attempts: NDArray[np.int64] | None = None,
) -> NDArray[np.float64]:
    """The same for samples with any indices, in ascending order, each by its attempt (0 if not given)."""
    found = np.empty(len(indices))
    for attempt in [0] if attempts is None else np.unique(attempts):
        rows = np.arange(len(indices)) if attempts is None else np.flatnonzero(attempts == attempt)
        for run in np.split(rows, np.flatnonzero(np.diff(indices[rows]) > MAX_GAP) + 1):
            if len(run):
                start, n = int(indices[run[0]]), int(indices[run[-1]] - indices[run[0]]) + 1
                drawn = uniforms(seed, split, factor, view, start=start, n=n, attempt=int(attempt))
                found[run] = drawn[indices[run] - start]
    return found
