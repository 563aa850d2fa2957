"""RBF kernel ridge regression with a grid search: one kernel, and one factorisation a system, serve all targets.

The search is that of `GridSearchCV(KernelRidge(kernel="rbf"), {"alpha": ..., "gamma": ...}, cv=3)` of scikit-learn
for each target: the same folds (contiguous, not shuffled), the same score (R2, averaged over folds), the same choice
(the first best one, alpha before gamma), a refit on all samples. What differs is the order of the work: the matrix
K + alpha I depends on no target, so it is factorised once, and every target is one more right-hand side.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from m3di.errors import M3diError
from m3di.evaluate.encoded_view import EncodedView
from m3di.evaluate.factor_scores import NUMBER_SCORES, number_scores, predict_numbers
from m3di.evaluate.metric import Metric, Score, register_metric
from m3di.evaluate.r2 import r2_scores

Floats = NDArray[np.float64]

ALPHAS = (1.0, 0.1, 0.01, 0.001)
GAMMAS = tuple(float(gamma) for gamma in np.logspace(-2, 2, 4))
N_FOLDS = 3
CHUNK = 1024  # rows of the kernel between new samples and those of the fit that are held at once


@dataclass(frozen=True)
class KernelRidge:
    """A fitted search.

    Attributes:
        alphas: [T] the chosen ridge penalty of each target.
        gammas: [T] the chosen kernel width of each target: the kernel is exp(-gamma |x - x'|^2).
        cv_scores: [n_alphas, n_gammas, T] R2 averaged over the folds.
        samples: [N, D] the samples of the fit.
        dual_coefficients: [N, T] weights of the kernels around them.
    """

    alphas: Floats
    gammas: Floats
    cv_scores: Floats
    samples: Floats
    dual_coefficients: Floats

    def predict(self, samples: ArrayLike) -> Floats:
        """[M, D] -> [M, T]; memory grows with N, not with M x N."""
        new = np.asarray(samples, dtype=np.float64)
        predicted = np.empty((len(new), len(self.gammas)))
        for start in range(0, len(new), CHUNK):
            rows = slice(start, start + CHUNK)
            squared_distances = _squared_distances(new[rows], self.samples)
            for gamma in np.unique(self.gammas):
                targets = self.gammas == gamma
                predicted[rows, targets] = np.exp(-gamma * squared_distances) @ self.dual_coefficients[:, targets]
        return predicted


def search_kernel_ridge(
    samples: ArrayLike,
    targets: ArrayLike,
    *,
    alphas: Sequence[float] = ALPHAS,
    gammas: Sequence[float] = GAMMAS,
    n_folds: int = N_FOLDS,
) -> KernelRidge:
    """Choose alpha and gamma of each target by cross-validation, and fit on all samples.

    In float64 throughout: at alpha = 0.001 the condition number of K + alpha I reaches N / alpha. Memory peaks at
    about 2.5 matrices of N x N (2 GB at N = 10,000); time is that of one Cholesky factorisation of 2/3 N x 2/3 N
    an alpha, gamma and fold, for any number of targets.

    Args:
        samples: [N, D] encodings, standardised. Not standardised ones need other gammas.
        targets: [N, T] one column a factor. There is no intercept, so standardise them as well.
        alphas: Ridge penalties to try.
        gammas: Kernel widths to try.
        n_folds: Folds of the cross-validation.

    Raises:
        M3diError: Fewer samples than 2 a fold, shapes that do not fit, or a number that is not finite.
    """
    x, y = np.asarray(samples, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    _check(x, y, n_folds)
    squared_distances = _squared_distances(x, x)
    scores = np.zeros((len(alphas), len(gammas), y.shape[1]))
    kernel = np.empty_like(squared_distances)
    for column, gamma in enumerate(gammas):
        _kernel(squared_distances, gamma, out=kernel)
        for held_out in _folds(len(x), n_folds):
            scores[:, column] += _fold_scores(kernel, y, held_out, alphas) / n_folds
    # The first of equal scores, alpha before gamma, as scikit-learn's grid is ordered.
    best = scores.reshape(-1, y.shape[1]).argmax(axis=0)
    chosen_alphas = np.asarray(alphas, dtype=np.float64)[best // len(gammas)]
    chosen_gammas = np.asarray(gammas, dtype=np.float64)[best % len(gammas)]
    coefficients = np.empty_like(y)
    for gamma in np.unique(chosen_gammas):
        _kernel(squared_distances, gamma, out=kernel)
        for alpha in np.unique(chosen_alphas[chosen_gammas == gamma]):
            served = (chosen_gammas == gamma) & (chosen_alphas == alpha)
            coefficients[:, served] = _solve(kernel.copy(order="K"), alpha, y[:, served])
    return KernelRidge(chosen_alphas, chosen_gammas, scores, x, coefficients)


def _fold_scores(kernel: Floats, y: Floats, held_out: slice, alphas: Sequence[float]) -> Floats:
    """[n_alphas, T] R2 on the held-out samples of fits on the others."""
    n, first, last = len(kernel), held_out.start, held_out.stop
    kept = n - (last - first)
    y_kept = np.concatenate([y[:first], y[last:]])
    across = np.concatenate([kernel[first:last, :first], kernel[first:last, last:]], axis=1)
    system = np.empty((kept, kept))
    scores = np.empty((len(alphas), y.shape[1]))
    for row, alpha in enumerate(alphas):
        # The factorisation overwrites its matrix, and copying a part of the kernel is cheap beside it.
        system[:first, :first] = kernel[:first, :first]
        system[first:, :first] = kernel[last:, :first]
        system[:first, first:] = kernel[:first, last:]
        system[first:, first:] = kernel[last:, last:]
        scores[row] = r2_scores(y[held_out], across @ _solve(system, alpha, y_kept))
    return scores


def _solve(kernel: Floats, alpha: float, y: Floats) -> Floats:
    """(K + alpha I)^-1 y; overwrites `kernel`, which is symmetric."""
    kernel.flat[:: len(kernel) + 1] += alpha
    try:
        # Transposed, a symmetric matrix is the same, and in the order that LAPACK works on in place.
        factor = cho_factor(kernel.T, lower=True, overwrite_a=True, check_finite=False)
    except LinAlgError as error:
        raise M3diError(
            "the kernel matrix is not positive definite",
            where=f"kernel ridge regression with alpha {alpha:g}",
            got=error,
            next_step="give larger alphas",
        ) from error
    solution: Floats = cho_solve(factor, y, check_finite=False)
    return solution


def _squared_distances(a: Floats, b: Floats) -> Floats:
    """[M, D], [N, D] -> [M, N]; exactly zero on the diagonal where `a` is `b`."""
    squared = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1)[None, :]
    squared -= 2.0 * (a @ b.T)
    np.maximum(squared, 0.0, out=squared)
    if a is b:
        np.fill_diagonal(squared, 0.0)
    return squared


def _kernel(squared_distances: Floats, gamma: float, out: Floats) -> None:
    np.multiply(squared_distances, -gamma, out=out)
    np.exp(out, out=out)


def _folds(n: int, n_folds: int) -> Iterator[slice]:
    """Contiguous held-out blocks; the first n % n_folds are one sample longer, as scikit-learn's KFold has them."""
    edges = np.cumsum([0] + [n // n_folds + (fold < n % n_folds) for fold in range(n_folds)]).tolist()
    return (slice(first, last) for first, last in itertools.pairwise(edges))


def _check(x: Floats, y: Floats, n_folds: int) -> None:
    problem: Any = None
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y):
        problem = f"shapes {list(x.shape)} and {list(y.shape)}"
    elif n_folds < 2 or len(x) < 2 * n_folds:
        problem = f"{len(x)} samples, {n_folds} folds"
    elif not (np.isfinite(x).all() and np.isfinite(y).all()):
        problem = "a number that is not finite"
    if problem is not None:
        raise M3diError(
            "kernel ridge regression cannot be fitted to this",
            got=problem,
            expected=f"finite samples [N, D] and targets [N, T], with N at least {max(4, 2 * n_folds)}",
        )


def predict_by_kernel_ridge(z: EncodedView) -> dict[str, Floats]:
    """Every number of an encoding, see `predict_numbers`."""
    return predict_numbers(z, search_kernel_ridge)


@register_metric("kernel_ridge")
class KernelRidgeProbe(Metric):
    """Numbers by kernel ridge regression: RBF kernel, alpha and gamma by 3 folds for each."""

    scope = "factor"
    scores = NUMBER_SCORES

    def of_view(self, z: EncodedView) -> Iterator[Score]:
        """R2 of every number, and circular R2 of every angle."""
        return number_scores(z, "kernel_ridge", z.shared(predict_by_kernel_ridge))
