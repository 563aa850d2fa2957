"""Every metric on a perfect, a useless and a redundant encoder, against known answers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import pearsonr
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression

from m3di.evaluate import probes
from m3di.evaluate.probes import logistic, mlp

RNG = np.random.default_rng(0)
N = 400
FACTORS = RNG.normal(size=(N, 3))
PERFECT = FACTORS @ np.diag([2.0, -1.0, 0.5])
USELESS = RNG.normal(size=(N, 3))
REDUNDANT = np.concatenate([FACTORS, -FACTORS], axis=1)


def test_linear_reads_a_perfect_and_a_redundant_encoder_and_not_a_useless_one() -> None:
    for encoder, expected, within in ((PERFECT, 1.0, 1e-9), (REDUNDANT, 1.0, 1e-9), (USELESS, 0.0, 0.12)):
        fit = probes.fit_linear(encoder[:200], FACTORS[:200])
        scores = probes.r2_scores(FACTORS[200:], fit.predict(encoder[200:]))
        np.testing.assert_allclose(scores, expected, atol=within)


def test_linear_is_that_of_scikit_learn() -> None:
    x, y = RNG.normal(3.0, 2.0, size=(50, 4)), RNG.normal(size=(50, 2))
    np.testing.assert_allclose(probes.fit_linear(x, y).predict(x), LinearRegression().fit(x, y).predict(x), atol=1e-9)


def test_circular_r2_knows_no_jump_at_the_full_turn() -> None:
    hue = RNG.uniform(size=N)
    predicted = (hue + 0.01) % 1.0  # a hundredth of a turn off, everywhere
    jumps = probes.r2_scores(hue[:, None], predicted[:, None])[0]
    circular = probes.circular_r2(probes.circle_points(2 * np.pi * hue), probes.circle_points(2 * np.pi * predicted))
    chord = (2 * np.sin(np.pi * 0.01)) ** 2
    points = probes.circle_points(2 * np.pi * hue)
    assert circular == pytest.approx(1 - chord / points.var(axis=0).sum(), abs=1e-12)
    assert circular > 0.99 > jumps
    mean = np.tile(points.mean(axis=0), (N, 1))
    assert probes.circular_r2(points, mean) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("predict", [probes.predict_logistic, pytest.param(probes.predict_mlp, marks=pytest.mark.slow)])
def test_classifiers(predict) -> None:
    labels = (FACTORS[:, 0] > 0).astype(int) + 2 * (FACTORS[:, 1] > 0)
    for encoder, low, high in ((PERFECT, 0.9, 1.0), (REDUNDANT, 0.9, 1.0), (USELESS, 0.12, 0.38)):
        accuracy = np.mean(predict(encoder[:200], labels[:200], encoder[200:]) == labels[200:])
        assert low <= accuracy <= high
    assert (predict(PERFECT[:200], np.full(200, 7), PERFECT[200:]) == 7).all()


def test_only_the_hidden_layer_solves_exclusive_or() -> None:
    labels = (FACTORS[:, 0] * FACTORS[:, 1] > 0).astype(int)
    linear = np.mean(probes.predict_logistic(FACTORS[:200], labels[:200], FACTORS[200:]) == labels[200:])
    hidden = np.mean(probes.predict_mlp(FACTORS[:200], labels[:200], FACTORS[200:]) == labels[200:])
    assert linear < 0.65 < 0.85 < hidden


def test_the_mlp_may_take_a_thousand_epochs(monkeypatch) -> None:
    """As the published protocol."""
    made = []
    for module in (mlp, logistic):
        monkeypatch.setattr(module, "predict_by", lambda model, *_arrays: made.append(model.max_iter))
    probes.predict_mlp(PERFECT, np.zeros(N), PERFECT)
    probes.predict_logistic(PERFECT, np.zeros(N), PERFECT)
    assert made == [1000, 1000]


def test_mcc() -> None:
    def mcc(encoder: np.ndarray) -> float:
        table = probes.absolute_correlations(encoder, FACTORS)
        return probes.mean_correlation(table, probes.assign(table))

    assert mcc(PERFECT[:, [2, 0, 1]]) == pytest.approx(1.0)
    assert mcc(REDUNDANT) == pytest.approx(1.0)
    assert mcc(USELESS) < 0.15
    assert mcc(PERFECT[:, :2]) == pytest.approx((2 + np.abs([0, 0, 0]).sum()) / 3)  # no dimension left for the third
    assert mcc(np.zeros((N, 3))) == 0.0
    table = probes.absolute_correlations(USELESS, FACTORS)
    assert table[1, 2] == pytest.approx(abs(pearsonr(USELESS[:, 1], FACTORS[:, 2])[0]))


def test_weighted_correlations_are_those_of_repeated_samples() -> None:
    counts = RNG.integers(0, 3, size=N)
    repeated = np.repeat(np.arange(N), counts)
    np.testing.assert_allclose(
        probes.absolute_correlations(USELESS, FACTORS, counts.astype(float)),
        probes.absolute_correlations(USELESS[repeated], FACTORS[repeated]),
        atol=1e-12,
    )


def test_dci_of_known_importances() -> None:
    assert probes.disentanglement(np.eye(3)) == pytest.approx(1.0)
    assert probes.completeness(np.eye(3)) == pytest.approx(1.0)
    uniform = np.full((3, 3), 1 / 3)
    assert probes.disentanglement(uniform) == pytest.approx(0.0)
    assert probes.completeness(uniform) == pytest.approx(0.0)
    redundant = np.concatenate([np.eye(3), np.eye(3)]) / 2  # each factor in two of six dimensions
    assert probes.disentanglement(redundant) == pytest.approx(1.0)
    assert probes.completeness(redundant) == pytest.approx(1 - np.log(2) / np.log(6))
    shared = np.array([[1.0, 1.0]])  # one dimension for two factors
    assert probes.disentanglement(shared) == pytest.approx(0.0)
    assert probes.completeness(shared) == pytest.approx(1.0)
    unused = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    assert probes.disentanglement(unused) == pytest.approx(1.0)


def test_dci_of_encoders() -> None:
    numbers = [FACTORS[:, 0], FACTORS[:, 1], (FACTORS[:, 2] > 0).astype(int)]
    first, second = [each[:200] for each in numbers], [each[200:] for each in numbers]
    good = probes.dci(PERFECT[:200], first, PERFECT[200:], second)
    bad = probes.dci(USELESS[:200], first, USELESS[200:], second)
    assert min(good.disentanglement, good.completeness, good.informativeness) > 0.85
    assert max(bad.disentanglement, bad.completeness, bad.informativeness) < 0.3
    np.testing.assert_allclose(good.importances.sum(axis=0), 1.0)
    tied = probes.dci(np.zeros((200, 2)), first, np.zeros((200, 2)), second)
    assert (tied.disentanglement, tied.completeness) == (0.0, 0.0)
    assert tied.informativeness < 0.3


def test_alignment_and_uniformity() -> None:
    assert probes.squared_distances_of_pairs(PERFECT, 3 * PERFECT).max() == pytest.approx(0.0, abs=1e-12)
    np.testing.assert_allclose(probes.squared_distances_of_pairs(PERFECT, -PERFECT), 4.0)
    assert probes.uniformity(np.ones((10, 3))) == pytest.approx(0.0)
    poles = np.array([[1.0, 0.0], [-1.0, 0.0]])
    assert probes.uniformity(poles) == pytest.approx(-8.0)  # exp(-2 * 4)
    for dead in (np.zeros((10, 3)), np.full((10, 3), 1e200), np.full((10, 3), 5e-324)):
        assert probes.uniformity(dead) == 0.0
    half_dead = np.array([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0]])  # distances 0, 1 and 1
    assert probes.uniformity(half_dead) == pytest.approx(np.log((1 + 2 * np.exp(-2)) / 3))
    even = RNG.normal(size=(1500, 3))
    sphere = np.log((1 - np.exp(-8)) / 8)  # E exp(-2 |z - z'|^2) on the sphere in three dimensions
    assert probes.uniformity(even) == pytest.approx(sphere, abs=0.02)


def test_leakage_is_nothing_for_content_alone_and_much_for_an_encoder_of_style() -> None:
    content = RNG.integers(0, 3, size=N)
    style = content + 0.3 * RNG.normal(size=N)  # depends on content
    features, new = probes.content_features([content[:200]], [content[200:]])
    assert features.shape == (200, 3)

    def r2(fit: np.ndarray, test: np.ndarray) -> float:
        regression = probes.fit_linear(fit, style[:200, None])
        return float(probes.r2_scores(style[200:, None], regression.predict(test))[0])

    from_content = r2(features, new)
    assert from_content > 0.8  # what a naive reading calls encoded style
    only_content = probes.standardise(content[:200, None] * 1.0, content[200:, None] * 1.0)
    assert r2(*only_content) - from_content == pytest.approx(0.0, abs=0.02)
    assert r2(style[:200, None], style[200:, None]) - from_content == pytest.approx(1 - from_content)


def test_standardised_by_the_fit_and_constant_columns_are_zero() -> None:
    fit, test = np.array([[1.0, 5.0], [3.0, 5.0]]), np.array([[5.0, 5.0]])
    known, new = probes.standardise(fit, test)
    np.testing.assert_allclose(known, [[-1, 0], [1, 0]])
    np.testing.assert_allclose(new, [[3, 0]])


def test_bootstrap_interval_of_a_mean_is_that_of_theory() -> None:
    values = RNG.normal(size=2000)
    low, high = probes.interval(probes.Bootstrap(2000).means(values))
    half = 1.96 * values.std() / np.sqrt(2000)
    assert low == pytest.approx(values.mean() - half, abs=0.01)
    assert high == pytest.approx(values.mean() + half, abs=0.01)


def test_bootstrap_interval_of_r2_is_that_of_resampled_samples() -> None:
    true = FACTORS[:, :1]
    predicted = true + 0.5 * USELESS[:, :1]
    bootstrap = probes.Bootstrap(N, n_resamples=50)
    counts = np.round(bootstrap.weights * N).astype(int)
    each = [np.repeat(np.arange(N), row) for row in counts]
    expected = [probes.r2_scores(true[rows], predicted[rows])[0] for rows in each]
    np.testing.assert_allclose(bootstrap.r2s(true, predicted), expected, atol=1e-9)
    np.testing.assert_allclose(probes.interval(np.array(expected)), np.quantile(expected, [0.025, 0.975]))
    direct = bootstrap.of(lambda weights: float(weights @ true[:, 0]))
    np.testing.assert_allclose(direct, bootstrap.means(true[:, 0]))
    assert np.isnan(probes.interval(bootstrap.r2s(np.ones((N, 1)), predicted))).all()


def test_what_is_constant_up_to_rounding_has_no_r2() -> None:
    true = np.full((200, 1), 0.1)
    assert probes.r2_scores(true, USELESS[:200, :1]).tolist() == [0.0]
    turns = probes.circle_points(2 * np.pi * np.arange(200.0))
    assert probes.circular_r2(turns, turns + 0.1) == 0.0
    bootstrap = probes.Bootstrap(3, n_resamples=200)
    scores = bootstrap.r2s(np.array([[0.1], [0.1], [0.7]]), np.zeros((3, 1)))
    is_single = (bootstrap.weights[:, 2] < 0.01) | (bootstrap.weights[:, 2] > 0.99)
    assert is_single.any() and (np.isnan(scores) == is_single).all()


def test_interval_over_seeds_is_students() -> None:
    low, high = probes.interval_over_seeds(np.array([1.0, 2.0, 3.0]))
    assert (low, high) == pytest.approx((2 - 4.302653 / np.sqrt(3), 2 + 4.302653 / np.sqrt(3)))
    assert np.isnan(probes.interval_over_seeds(np.array([1.0]))).all()
    assert np.isnan(probes.interval_over_seeds(np.array([0.1 + 0.2, 0.3]))).all()  # which differ by rounding


def test_dci_is_that_of_forests_of_scikit_learn_with_leaves_of_four() -> None:
    """Leaves of single samples would call noise important."""
    encoder = np.concatenate([PERFECT, USELESS], axis=1)
    noisy = FACTORS[:, 0] + RNG.normal(size=N)
    labels = (FACTORS[:, 1] + RNG.normal(size=N) > 0).astype(int)
    ours = probes.dci(encoder[:200], [noisy[:200], labels[:200]], encoder[200:], [noisy[200:], labels[200:]], seed=3)
    options = {"n_estimators": 30, "max_features": 1.0, "min_samples_leaf": 4, "random_state": 3}
    for column, (forest, true) in enumerate(
        ((RandomForestRegressor(**options), noisy), (RandomForestClassifier(**options), labels))
    ):
        forest.fit(encoder[:200], true[:200])
        np.testing.assert_allclose(ours.importances[:, column], forest.feature_importances_, atol=1e-12)
