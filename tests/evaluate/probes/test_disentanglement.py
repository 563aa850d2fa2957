"""MIG, SAP and modularity on a perfect, a useless, a redundant and a tied encoder, whose scores are known exactly."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

from m3di.evaluate import probes

# Every combination of three labels (2, 4 and 5 values), five times each: the factors are exactly independent.
GRID = np.array(list(itertools.product(range(2), range(4), range(5))) * 5)
LABELS = list(GRID.T)
PERFECT = GRID @ np.diag([3.0, -1.0, 0.5])
REDUNDANT = np.concatenate([PERFECT, -2.0 * PERFECT], axis=1)
TIED = np.ones((len(GRID), 3))  # all samples in one point
USELESS = np.array(list(itertools.product(range(5), range(40))))[:, [0]] * 1.0  # the same in each cell of the grid
ENTROPIES = np.log([2, 4, 5])


def both(encoder: np.ndarray) -> tuple[float, float, float]:
    information, entropies = probes.mutual_information(encoder, LABELS)
    fit, test = probes.standardise(encoder, encoder)
    return probes.mig(information, entropies), probes.sap(fit, LABELS, test, LABELS)[0], probes.modularity(information)


def test_information_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    encoder = np.stack([GRID[:, 0] + rng.integers(0, 3, len(GRID)), GRID[:, 1] * GRID[:, 2]], axis=1).astype(float)
    information, entropies = probes.mutual_information(encoder, LABELS)
    np.testing.assert_allclose(entropies, ENTROPIES)
    for (row, column), value in np.ndenumerate(information):
        assert value == pytest.approx(mutual_info_score(encoder[:, row], LABELS[column]), abs=1e-12)


def test_numbers_are_cut_into_twenty_bins() -> None:
    numbers = np.arange(2000) / 7.0
    information, entropies = probes.mutual_information(numbers[:, None], [numbers])
    assert information[0, 0] == pytest.approx(np.log(20)) == entropies[0]


def test_a_perfect_encoder() -> None:
    mig, sap, modularity = both(PERFECT)
    assert (mig, modularity) == pytest.approx((1.0, 1.0))
    assert sap == pytest.approx(1 - np.mean([1 / 2, 1 / 4, 1 / 5]))  # the second best dimension is at chance
    numbers = [each.astype(float) for each in LABELS]
    assert probes.sap(PERFECT, numbers, PERFECT, numbers)[0] == pytest.approx(1.0)


def test_a_redundant_encoder_is_modular_and_has_no_gap() -> None:
    assert both(REDUNDANT) == pytest.approx((0.0, 0.0, 1.0))


@pytest.mark.parametrize("encoder", [TIED, TIED[:, :1], USELESS, np.zeros((len(GRID), 2))])
def test_a_tied_and_a_useless_encoder_have_nothing(encoder: np.ndarray) -> None:
    assert both(encoder) == pytest.approx((0.0, 0.0, 0.0), abs=1e-9)


def test_half_a_factor_and_two_factors_in_one_dimension() -> None:
    halves = (GRID[:, [1]] >= 2) * 1.0  # one of the two bits of the second label
    information, entropies = probes.mutual_information(halves, LABELS)
    assert probes.mig(information, entropies) == pytest.approx(np.mean([0, np.log(2) / np.log(4), 0]))
    mixed = GRID[:, [1]] + 4.0 * GRID[:, [0]]  # holds the first two labels wholly
    information, _ = probes.mutual_information(mixed, LABELS)
    deviation = np.log(2) ** 2 / (np.log(4) ** 2 * 2)
    assert probes.modularity(information) == pytest.approx(1 - deviation)


def test_one_factor_alone() -> None:
    information, entropies = probes.mutual_information(PERFECT[:, :1], LABELS[:1])
    assert probes.mig(information, entropies) == pytest.approx(1.0)
    assert probes.modularity(information) == pytest.approx(1.0)
    constant = [np.zeros(len(GRID), dtype=int)]
    information, entropies = probes.mutual_information(PERFECT, constant)
    assert (probes.mig(information, entropies), probes.modularity(information)) == (0.0, 0.0)


def test_of_one_factor_every_dimension_is_its_own() -> None:
    assert probes.disentanglement(np.array([[0.25], [0.75]])) == 1.0
    assert probes.disentanglement(np.array([[0.2, 0.0], [0.0, 0.2]])) == pytest.approx(1.0)
    assert probes.disentanglement(np.zeros((2, 2))) == 0.0
