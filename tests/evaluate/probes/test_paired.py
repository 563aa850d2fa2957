"""Paired tests between encoders, against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from m3di.evaluate import probes

RNG = np.random.default_rng(0)


def bootstrap_of(first: np.ndarray, second: np.ndarray, n_resamples: int = 4000) -> probes.Difference:
    resamples = probes.Bootstrap(len(first), n_resamples)
    return probes.paired_bootstrap(first.mean() - second.mean(), resamples.means(first), resamples.means(second))


@pytest.mark.slow
def test_the_bootstrap_agrees_with_the_normal_test_of_a_mean_difference() -> None:
    first = RNG.normal(size=1500)
    second = first - 0.05 + 0.9 * RNG.normal(size=1500)
    found = bootstrap_of(first, second)
    difference = first - second
    error = difference.std() / np.sqrt(1500)
    assert found.value == pytest.approx(difference.mean())
    assert found.ci_low == pytest.approx(difference.mean() - 1.96 * error, abs=0.006)
    assert found.ci_high == pytest.approx(difference.mean() + 1.96 * error, abs=0.006)
    assert found.p == pytest.approx(2 * stats.norm.sf(abs(difference.mean() / error)), abs=0.03)


def test_pairing_finds_what_two_separate_intervals_hide() -> None:
    first = (RNG.uniform(size=500) < 0.8) * 1.0
    second = first.copy()
    second[np.flatnonzero(first)[:15]] = 0.0  # wrong in 15 samples more, right in no other
    found = bootstrap_of(first, second)
    assert found.ci_low > 0 and found.p < 0.01
    resamples = probes.Bootstrap(500)
    alone = [probes.interval(resamples.means(each)) for each in (first, second)]
    assert alone[0][0] < alone[1][1]  # they overlap


def test_equal_encoders_do_not_differ_and_p_is_never_zero() -> None:
    same = RNG.normal(size=100)
    assert bootstrap_of(same, same) == probes.Difference(0.0, 0.0, 0.0, 1.0)
    assert bootstrap_of(same, same - 1.0, 99).p == pytest.approx(2 / 100)
    none = probes.paired_bootstrap(0.5, np.full(9, np.nan), np.zeros(9))
    assert np.isnan(none.p) and none.value == 0.5


def test_over_seeds_it_is_students_paired_test() -> None:
    first, second = np.array([0.9, 0.8, 0.85]), np.array([0.7, 0.75, 0.72])
    found = probes.paired_over_seeds(first, second)
    wanted = stats.ttest_rel(first, second)
    assert found.p == pytest.approx(wanted.pvalue)
    assert (found.ci_low, found.ci_high) == pytest.approx(tuple(wanted.confidence_interval()))
    assert found.value == pytest.approx((first - second).mean())


def test_over_few_or_equal_seeds() -> None:
    one = probes.paired_over_seeds(np.array([0.9]), np.array([0.7]))
    assert one.value == pytest.approx(0.2) and np.isnan(one.p)
    assert np.isnan(probes.paired_over_seeds(np.array([]), np.array([])).value)
    same = np.array([0.5, 0.25])
    none = probes.paired_over_seeds(same, same)
    assert (none.value, none.p) == (0.0, 1.0) and np.isnan([none.ci_low, none.ci_high]).all()
    for first, second in ((same + 0.25, same), (np.array([0.9, 0.8]), np.array([0.7, 0.6]))):  # and up to rounding
        alike = probes.paired_over_seeds(first, second)
        assert alike.value == pytest.approx(float(np.mean(first - second)))
        assert np.isnan([alike.p, alike.ci_low, alike.ci_high]).all()


def test_without_scores_of_more_than_half_of_the_resamples_there_is_no_p() -> None:
    scores = np.array([0.1, 0.2, 0.3, np.nan, np.nan, np.nan])
    assert np.isnan(probes.paired_bootstrap(0.2, scores, np.zeros(6)).p)
    assert probes.paired_bootstrap(0.2, scores[:5], np.zeros(5)).p == pytest.approx(2 / 4)
    assert np.isnan(probes.paired_bootstrap(np.nan, scores[:3], np.zeros(3)).p)
