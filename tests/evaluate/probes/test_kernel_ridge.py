"""The kernel ridge search against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.kernel_ridge import KernelRidge
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV

from m3di.errors import M3diError
from m3di.evaluate.probes.kernel_ridge import ALPHAS, GAMMAS, _squared_distances, search_kernel_ridge
from m3di.evaluate.r2 import r2_scores
from tests.conftest import slow


def _data(n: int, d: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Encodings, and targets that are linear, smooth, rough, noisy and unrelated to them."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    columns = [x[:, 0], np.sin(2 * x[:, 0]) + x[:, 1] ** 2, np.sign(x[:, 1]), x[:, 0] + rng.normal(size=n)]
    y = np.stack([*columns, rng.normal(size=n)], axis=1)
    return x, (y - y.mean(axis=0)) / y.std(axis=0)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "d"), [(122, 10), *slow((200, 4), (181, 1))])
def test_equals_grid_search_of_scikit_learn(n: int, d: int) -> None:
    x, y = _data(n, max(d, 2))
    x = x[:, :d]
    new, _ = _data(50, max(d, 2), seed=1)
    ours = search_kernel_ridge(x, y)
    for column in range(y.shape[1]):
        grid = {"alpha": list(ALPHAS), "gamma": list(GAMMAS)}
        theirs = GridSearchCV(KernelRidge(kernel="rbf"), grid, cv=3).fit(x, y[:, column])
        scores = theirs.cv_results_["mean_test_score"].reshape(len(ALPHAS), len(GAMMAS))
        np.testing.assert_allclose(ours.cv_scores[:, :, column], scores, atol=1e-6, rtol=0)
        assert ours.alphas[column] == theirs.best_params_["alpha"]
        assert ours.gammas[column] == theirs.best_params_["gamma"]
        np.testing.assert_allclose(ours.predict(new[:, :d])[:, column], theirs.predict(new[:, :d]), atol=1e-6)


def test_clustered_encodings_at_the_smallest_penalty() -> None:
    """Nine distinct points a hundred times: the worst condition number, and equal to scikit-learn still."""
    rng = np.random.default_rng(0)
    x = np.tile(rng.normal(size=(9, 3)), (30, 1))
    y = rng.normal(size=(len(x), 2))
    ours = search_kernel_ridge(x, y, alphas=[0.001])
    for column in range(2):
        theirs = GridSearchCV(KernelRidge(kernel="rbf", alpha=0.001), {"gamma": list(GAMMAS)}, cv=3)
        theirs.fit(x, y[:, column])
        np.testing.assert_allclose(ours.cv_scores[0, :, column], theirs.cv_results_["mean_test_score"], atol=1e-6)


def test_targets_do_not_touch_each_other() -> None:
    x, y = _data(90, 3)
    together = search_kernel_ridge(x, y)
    alone = search_kernel_ridge(x, y[:, 2:3])
    np.testing.assert_allclose(together.cv_scores[:, :, 2], alone.cv_scores[:, :, 0], atol=1e-9)
    np.testing.assert_allclose(together.predict(x)[:, 2], alone.predict(x)[:, 0], atol=1e-9)


def test_prediction_in_chunks_is_that_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = _data(90, 3)
    fit = search_kernel_ridge(x, y)
    whole = fit.predict(x)
    monkeypatch.setattr("m3di.evaluate.probes.kernel_ridge.CHUNK", 7)
    np.testing.assert_allclose(fit.predict(x), whole, atol=1e-12)


@pytest.mark.parametrize(
    ("x", "y", "got"),
    [
        (np.zeros((9, 2)), np.zeros((8, 1)), r"shapes \[9, 2\] and \[8, 1\]"),
        (np.zeros((9, 2)), np.zeros(9), r"shapes \[9, 2\] and \[9\]"),
        (np.zeros((5, 2)), np.zeros((5, 1)), "5 samples, 3 folds"),
        (np.full((9, 2), np.nan), np.zeros((9, 1)), "not finite"),
    ],
)
def test_refuses_what_it_cannot_fit(x: np.ndarray, y: np.ndarray, got: str) -> None:
    with pytest.raises(M3diError, match=got):
        search_kernel_ridge(x, y)


def test_penalty_too_small_is_reported() -> None:
    with pytest.raises(M3diError, match="not positive definite"):
        search_kernel_ridge(np.zeros((9, 2)), np.zeros((9, 1)), alphas=[-1.0])


def test_r2_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    true = np.concatenate([rng.normal(size=(20, 2)), np.ones((20, 2))], axis=1)
    predicted = true + np.array([0.1, 3.0, 0.0, 0.5]) * rng.normal(size=true.shape)
    expected = r2_score(true, predicted, multioutput="raw_values")
    np.testing.assert_allclose(r2_scores(true, predicted), expected, atol=1e-12)


def test_a_sample_is_at_no_distance_from_itself() -> None:
    """By |a|^2 + |b|^2 - 2ab it would be, far from the origin, and the kernel's diagonal less than 1."""
    x = np.random.default_rng(0).normal(1e6, 1.0, size=(50, 3))
    distances = _squared_distances(x, x)
    assert (np.diag(distances) == 0.0).all()
    near = np.random.default_rng(0).normal(size=(50, 3))
    np.testing.assert_allclose(_squared_distances(near, near[:7]), cdist(near, near[:7], "sqeuclidean"), atol=1e-12)
