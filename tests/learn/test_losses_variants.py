"""Blocks, further negatives, more views, a learned temperature and the asymptotic form, against slow references."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from m3di.errors import UsageError
from m3di.learn import TrainConfig
from m3di.learn.losses import LEAST_TEMPERATURE, SIMILARITIES, SymInfoNCE, asymptotic_terms
from m3di.learn.losses.logsumexp import logsumexp_of_products


def slow_similarity(a, b, similarity):
    if similarity == "cosine":
        return (a * b).sum() / ((a * a).sum().sqrt() * (b * b).sum().sqrt())
    return -((a - b) ** 2).sum()


def slow_direction(anchors, positives, negatives_of, temperature, similarity):
    """Mean of -log softmax of the positive among itself and the negatives, one term at a time."""
    total = torch.zeros((), dtype=torch.float64)
    for i in range(len(anchors)):
        positive = torch.exp(slow_similarity(anchors[i], positives[i], similarity) / temperature)
        others = [torch.exp(slow_similarity(anchors[i], z, similarity) / temperature) for z in negatives_of(i)]
        total = total - torch.log(positive / (positive + sum(others)))
    return total / len(anchors)


def slow_cross(z1, z2, temperature, similarity):
    def others(z):
        return lambda i: [z[j] for j in range(len(z)) if j != i]

    there = slow_direction(z1, z2, others(z2), temperature, similarity)
    return (there + slow_direction(z2, z1, others(z1), temperature, similarity)) / 2


def slow_all(z1, z2, temperature, similarity):
    def others(i):
        return [z[j] for z in (z1, z2) for j in range(len(z)) if j != i]

    there = slow_direction(z1, z2, others, temperature, similarity)
    return (there + slow_direction(z2, z1, others, temperature, similarity)) / 2


def slow_fresh(z1, z2, fresh1, fresh2, temperature, similarity):
    there = slow_direction(z1, z2, lambda i: fresh1, temperature, similarity)
    return (there + slow_direction(z2, z1, lambda i: fresh2, temperature, similarity)) / 2


def views(n_views=2, n_pairs=6, size=3):
    generator = torch.Generator().manual_seed(5)
    base = torch.randn(n_pairs, size, dtype=torch.float64, generator=generator)
    noise = torch.randn(n_views, n_pairs, size, dtype=torch.float64, generator=generator)
    return [(base + 0.5 * noise[k]).requires_grad_() for k in range(n_views)]


def check_equal(loss, expected, inputs):
    torch.testing.assert_close(loss, expected, rtol=1e-10, atol=1e-12)
    gradients, references = torch.autograd.grad(loss, inputs), torch.autograd.grad(expected, inputs)
    for gradient, reference in zip(gradients, references, strict=True):
        torch.testing.assert_close(gradient, reference, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("block_rows", [1, 4, 100])
def test_blocks_are_exact(similarity, block_rows):
    z = views()
    loss = SymInfoNCE(0.4, similarity, block_rows=block_rows)(*z)
    check_equal(loss, slow_cross(*z, 0.4, similarity), z)


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("block_rows", [5, None])
def test_negatives_of_both_modalities(similarity, block_rows):
    z = views()
    loss = SymInfoNCE(0.4, similarity, negatives="all", block_rows=block_rows)(*z)
    check_equal(loss, slow_all(*z, 0.4, similarity), z)


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("block_rows", [4, None])
def test_fresh_negatives(similarity, block_rows):
    z1, z2, fresh1, fresh2 = views(4)
    fresh2 = fresh2[:4]  # as many as one likes
    loss = SymInfoNCE(0.4, similarity, block_rows=block_rows).with_fresh_negatives(z1, z2, fresh1, fresh2)
    check_equal(loss, slow_fresh(z1, z2, fresh1, fresh2, 0.4, similarity), (z1, z2, fresh1))


@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_three_views_are_the_sum_over_pairs(similarity):
    z = views(3)
    expected = sum(slow_cross(a, b, 1.0, similarity) for a, b in itertools.combinations(z, 2))
    check_equal(SymInfoNCE(1.0, similarity)(*z), expected, z)


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("negatives", ["cross", "all"])
def test_learned_temperature(similarity, negatives):
    z = [each.detach() for each in views()]
    loss_of = SymInfoNCE(0.5, similarity, negatives=negatives, learn_temperature=True).double()
    log_temperature = torch.tensor(math.log(0.5), dtype=torch.float64, requires_grad=True)
    torch.nn.init.constant_(loss_of.log_temperature, math.log(0.5))
    slow = slow_cross if negatives == "cross" else slow_all
    expected = slow(*z, log_temperature.exp(), similarity)
    (reference,) = torch.autograd.grad(expected, log_temperature)
    (gradient,) = torch.autograd.grad(loss_of(*z), loss_of.log_temperature)
    torch.testing.assert_close(gradient, reference, rtol=1e-9, atol=1e-12)
    assert loss_of.temperature == pytest.approx(0.5)
    torch.nn.init.constant_(loss_of.log_temperature, -50.0)
    assert loss_of.temperature == pytest.approx(0.01)
    assert torch.isfinite(loss_of(*z))


def test_fixed_temperature_has_no_parameters():
    assert not list(SymInfoNCE().parameters())
    assert not SymInfoNCE().state_dict()


@pytest.mark.parametrize("period", [None, 4])
def test_log_sum_exp_of_rectangles(period):
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(n, 3, dtype=torch.float64, generator=generator).requires_grad_() for n in (8, 11))
    rows, columns = logsumexp_of_products(a, b, period=period, columns=True, block_rows=3)
    logits = a @ b.T
    if period is not None:
        left_out = (torch.arange(8)[:, None] - torch.arange(11)) % period == 0
        logits = logits.masked_fill(left_out, -torch.inf)
    torch.testing.assert_close(rows, logits.logsumexp(1))
    torch.testing.assert_close(columns, logits.logsumexp(0))
    weights = torch.randn(19, dtype=torch.float64, generator=generator)
    ours = torch.autograd.grad(torch.cat([rows, columns]) @ weights, (a, b), retain_graph=True)
    reference = torch.autograd.grad(torch.cat([logits.logsumexp(1), logits.logsumexp(0)]) @ weights, (a, b))
    for gradient, expected in zip(ours, reference, strict=True):
        torch.testing.assert_close(gradient, expected)


def test_a_learned_temperature_at_its_floor_stays_there_and_comes_back():
    """The best tau of equal pairs is the least, that of unrelated ones the largest."""
    loss_of = SymInfoNCE(0.0101, learn_temperature=True)
    optimizer = torch.optim.Adam(loss_of.parameters(), lr=1e-2)
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(64, 4, generator=generator)
    courses = []
    for other in (lambda: z, lambda: torch.randn(64, 4, generator=generator)):
        courses.append([])
        for _ in range(60):
            optimizer.zero_grad()
            loss_of(z, other()).backward()
            optimizer.step()
            courses[-1].append(loss_of.temperature)
    assert min(courses[0]) == pytest.approx(LEAST_TEMPERATURE, rel=1e-6)
    assert courses[0][-1] == pytest.approx(LEAST_TEMPERATURE, rel=1e-6)
    assert courses[1][-1] > 1.3 * LEAST_TEMPERATURE


@pytest.mark.parametrize("below", [0.0, 0.5])
def test_the_gradient_at_the_floor_is_that_of_the_loss_there(below):
    z = views()
    loss_of = SymInfoNCE(LEAST_TEMPERATURE, learn_temperature=True).double().eval()
    torch.nn.init.constant_(loss_of.log_temperature, math.log(LEAST_TEMPERATURE) - below)
    log_temperature = torch.tensor(math.log(LEAST_TEMPERATURE), dtype=torch.float64, requires_grad=True)
    (wanted,) = torch.autograd.grad(slow_cross(*z, log_temperature.exp(), "cosine"), log_temperature)
    (gradient,) = torch.autograd.grad(loss_of(*z), loss_of.log_temperature)
    torch.testing.assert_close(gradient, wanted, rtol=1e-9, atol=1e-12)
    assert wanted.abs() > 1e-3


def test_a_learned_temperature_never_starts_somewhere_else():
    assert SymInfoNCE(LEAST_TEMPERATURE, learn_temperature=True).temperature == pytest.approx(LEAST_TEMPERATURE)
    assert SymInfoNCE(0.005).temperature == 0.005  # a fixed one may be any
    said = r"learned temperature cannot start this low(?s:.)*0\.005(?s:.)*0\.01 or more(?s:.)*keep 0\.005 fixed"
    with pytest.raises(UsageError, match=said):
        SymInfoNCE(0.005, learn_temperature=True)
    with pytest.raises(UsageError, match=said):
        TrainConfig(n_steps=1, batch_size=2, temperature=0.005, learn_temperature=True)


def test_a_far_column_keeps_its_sum():
    # Seen from every row, the last column underflows beside the row's largest entry; its own sum must not.
    a = torch.tensor([[1.0, 0.0], [1.0, 0.1]])
    b = torch.tensor([[0.0, 0.0], [-500.0, 1.0]])
    _, columns = logsumexp_of_products(a, b, columns=True)
    torch.testing.assert_close(columns, (a @ b.T).logsumexp(0))


def test_half_precision_is_computed_in_float32():
    z1, z2 = (z.detach().to(torch.bfloat16) for z in views())
    for loss_of in (SymInfoNCE(0.3), SymInfoNCE(0.3, "neg_squared_euclidean", negatives="all")):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = loss_of(z1, z2)
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss, loss_of(z1.float(), z2.float()), rtol=1e-6, atol=0)


@pytest.mark.parametrize("negatives", ["cross", pytest.param("all", marks=pytest.mark.slow)])
def test_no_batch_by_batch_tensor(negatives):
    # K x K in float32 would be 64 MiB.
    z = torch.randn(4096, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    with torch.profiler.profile(profile_memory=True) as profile:
        SymInfoNCE(similarity="neg_squared_euclidean", negatives=negatives)(z, z.detach()).backward()
    assert max(event.cpu_memory_usage for event in profile.events()) <= 16 * 2**20


def test_entropy_of_a_gaussian_and_alignment():
    # With a Gaussian kernel of variance tau / 2, the density of N(0, I) becomes that of N(0, (1 + tau / 2) I).
    n, size, tau = 4000, 3, 0.5
    z1, noise = torch.randn(2, n, size, generator=torch.Generator().manual_seed(0))
    terms = asymptotic_terms(z1, z1 + 0.1 * noise, temperature=tau, similarity="neg_squared_euclidean")
    variance = 1 + tau / 2
    expected = size / 2 * (math.log(2 * math.pi * variance) + 1 / variance)
    assert terms.entropy1 == pytest.approx(expected, rel=0.02)
    assert terms.entropy2 == pytest.approx(expected, rel=0.03)
    assert terms.alignment == pytest.approx(size * 0.01 / tau, rel=0.1)
    assert terms.loss == pytest.approx(terms.alignment - (terms.entropy1 + terms.entropy2) / 2)


def test_loss_less_log_k_tends_to_the_asymptotic_form():
    # For equal marginals on the sphere the cross-modal sums are the within-modal ones.
    z1, noise = torch.randn(2, 6000, 3, generator=torch.Generator().manual_seed(0))
    z2 = z1 + 0.01 * noise
    terms = asymptotic_terms(z1, z2, temperature=0.8)
    assert SymInfoNCE(0.8)(z1, z2).item() - math.log(6000) == pytest.approx(terms.loss, abs=2e-3)


def test_unknown_negatives():
    with pytest.raises(UsageError, match="did you mean 'cross'"):
        SymInfoNCE(negatives="cros")


def test_a_third_view_of_another_shape():
    with pytest.raises(UsageError, match="must have the same shape"):
        SymInfoNCE()(torch.zeros(4, 3), torch.zeros(4, 3), torch.zeros(4, 2))


def test_repr_of_options():
    loss = SymInfoNCE(negatives="all", learn_temperature=True)
    assert repr(loss) == "SymInfoNCE(temperature=1, similarity='cosine', negatives='all', learn_temperature=True)"
