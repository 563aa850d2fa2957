"""Cross-validation: every sample is scored once, by probes that have not seen it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from m3di.errors import M3diError, UsageError
from m3di.evaluate import Protocol, Score, score, to_table
from m3di.evaluate.folds import folds, mean_of_folds
from tests.evaluate.test_scores import CONTENT, HUE, RNG, STYLE, M, N, encoded


def test_each_sample_is_in_one_test_and_in_all_other_fits() -> None:
    number = np.arange(N + M)
    of = encoded(number, STYLE)
    parts = list(folds(replace(of, factors={"image": of.factors["image"][:1]}, all_factors=of.factors), 3, seed=0))
    assert [len(each.encodings["image"][1]) for each in parts] == [84, 83, 83]
    tested = np.concatenate([each.encodings["image"][1][:, 0] for each in parts]).astype(int)
    assert sorted(tested) == list(number) and list(tested) != list(number)
    for each in parts:
        fit, test = (part[:, 0].astype(int) for part in each.encodings["image"])
        assert sorted([*fit, *test]) == list(number)
        assert each.all_factors is not None
        (shape,), (_, size, hue) = each.factors["image"], each.all_factors["image"]
        np.testing.assert_array_equal(shape.fit, CONTENT[fit])
        np.testing.assert_array_equal(size.test, STYLE[test])
        np.testing.assert_allclose(hue.angle[1], 2 * np.pi * HUE[test])


def test_scores_by_folds() -> None:
    of = encoded(CONTENT, RNG.normal(size=N + M))
    wanted = Protocol(("linear", "logistic", "mcc", "mig"), n_bootstrap=500, n_folds=5)
    found = {(each.factor, each.metric): each for each in score(of, wanted)}
    once = {(each.factor, each.metric): each for each in score(of, Protocol(wanted.probes, n_bootstrap=500))}
    assert found.keys() == once.keys()
    assert found["image.shape", "accuracy"].value == 1.0
    size = found["image.size", "r2"]
    assert size.value == pytest.approx(8 / 9, abs=0.03)
    assert size.ci_low < size.value < size.ci_high
    assert size.ci_high - size.ci_low < once["image.size", "r2"].ci_high - once["image.size", "r2"].ci_low
    assert found["image.shape", "accuracy"].chance == pytest.approx(np.bincount(CONTENT).max() / (N + M))
    (row, *_rest) = to_table(of, list(found.values()), 5).to_pylist()
    assert (row["n_fit"], row["n_test"]) == (200, 250)


def test_the_mean_of_folds_has_the_spread_of_a_mean() -> None:
    each = [
        Score("v", "f", "", "", "e", "accuracy", 0.5 + 0.1 * fold).with_resampled(RNG.normal(0.5, 0.1, 4000))
        for fold in range(4)
    ]
    found = mean_of_folds(each)
    assert found.value == pytest.approx(0.65)
    assert found.ci_high - found.ci_low == pytest.approx(2 * 1.96 * 0.1 / 2, rel=0.1)
    assert np.isnan(mean_of_folds([Score("v", "all", "", "", "e", "mig", 0.5)] * 2).ci_low)


def test_numbers_of_folds_that_cannot_be() -> None:
    with pytest.raises(UsageError, match=r"number of folds is too small(?s:.)*2 or more"):
        Protocol(n_folds=1)
    with pytest.raises(M3diError, match=r"too few samples for so many folds(?s:.)*250 samples, 126 folds"):
        score(encoded(CONTENT), Protocol(("linear",), n_folds=126))
