"""recall@k, with and without ties, against a slow reference."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from m3di.errors import UsageError
from m3di.evaluate import probes

RNG = np.random.default_rng(0)
N = 400
PERFECT, USELESS = RNG.normal(size=(2, N, 3))
SIMILARITIES = ["cosine", "neg_squared_euclidean"]


def recall(queries: np.ndarray, gallery: np.ndarray, k: int, similarity: str = "cosine") -> float:
    return float(probes.hits(probes.ranks(queries, gallery, similarity), k).mean())


@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_a_perfect_and_a_useless_encoder(similarity: str) -> None:
    found = probes.ranks(PERFECT, PERFECT, similarity)
    assert (found.better == 0).all() and (found.equal == 0).all()
    assert recall(PERFECT, PERFECT, 1, similarity) == 1.0
    assert recall(USELESS, PERFECT, N // 2, similarity) == pytest.approx(0.5, abs=0.1)
    queries, gallery = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[0.1, 1.0], [1.0, 0.2]])
    np.testing.assert_array_equal(probes.ranks(queries, gallery, similarity).better, [1, 1])  # swapped


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("scale", [1.0, 1e6])
@pytest.mark.parametrize("n_equal", [1, 2, 3, 4, 10, 100])
def test_equal_encodings_are_hit_as_often_as_chance_among_them(similarity: str, n_equal: int, scale: float) -> None:
    n = 100 // n_equal
    z = np.repeat(RNG.normal(size=(n, 4)) * scale, n_equal, axis=0)
    for k in (1, 5, 10):
        assert recall(z, z, k, similarity) == pytest.approx(min(1.0, k / n_equal), abs=1e-12)


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("value", [0.0, 1.0, 1e5 + 1 / 3])
def test_an_encoder_of_one_point_is_at_chance(similarity: str, value: float) -> None:
    one_point = np.full((N, 3), value)
    for k in (1, 5, 10):
        assert recall(one_point, one_point, k, similarity) == pytest.approx(k / N)


def test_hits_are_the_mean_over_all_orders_of_ties() -> None:
    better, equal, n = 2, 3, 7
    for k in range(1, n + 1):
        tied = range(equal + 1)  # our own is number 0
        orders = list(itertools.permutations(tied))
        among = np.mean([better + order.index(0) < k for order in orders])
        found = probes.Ranks(np.array([float(better)]), np.array([float(equal)]))
        assert probes.hits(found, k)[0] == pytest.approx(among)


def test_retrieval_by_distance_and_by_angle_differ() -> None:
    queries, gallery = np.array([[1.0, 0.0], [2.0, 0.0]]), np.array([[1.0, 0.1], [2.0, 0.0]])
    np.testing.assert_array_equal(probes.ranks(queries, gallery, "cosine").better, [1, 0])
    np.testing.assert_array_equal(probes.ranks(queries, gallery, "neg_squared_euclidean").better, [0, 0])
    with pytest.raises(UsageError, match="unknown similarity"):
        probes.ranks(queries, gallery, "dot")


def test_distances_far_from_the_origin() -> None:
    z = RNG.normal(size=(50, 3))
    assert recall(z + 1e6, z + 1e6 + 1e-3, 1, "neg_squared_euclidean") == 1.0


@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_ranks_in_chunks_are_those_in_one(similarity: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With ties, and with queries of many lengths, which decide what is a tie."""
    gallery = np.repeat(RNG.normal(size=(25, 3)), 2, axis=0)
    queries = gallery * RNG.uniform(0.001, 1000.0, size=(50, 1))
    whole = probes.ranks(queries, gallery, similarity)
    monkeypatch.setattr("m3di.evaluate.probes.retrieval.CHUNK", 7)
    chunks = probes.ranks(queries, gallery, similarity)
    np.testing.assert_array_equal(chunks.better, whole.better)
    np.testing.assert_array_equal(chunks.equal, whole.equal)
    assert (whole.equal == 1).all()
