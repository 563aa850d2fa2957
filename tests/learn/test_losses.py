"""SymInfoNCE against an explicit double loop in float64, closed forms, and extreme inputs."""

from __future__ import annotations

import math

import pytest
import torch

from m3di.errors import UsageError
from m3di.learn.losses import SIMILARITIES, SymInfoNCE
from m3di.learn.losses.logsumexp import logsumexp_of_products


def slow_similarity(a, b, similarity):
    if similarity == "cosine":
        return (a * b).sum() / ((a * a).sum().sqrt() * (b * b).sum().sqrt())
    return -((a - b) ** 2).sum()


def slow_sym_infonce(z1, z2, temperature, similarity):
    """The formula of the docstring, one term at a time."""
    n_pairs = len(z1)
    total = torch.zeros((), dtype=torch.float64)
    for anchors, others in ((z1, z2), (z2, z1)):
        for i in range(n_pairs):
            terms = [slow_similarity(anchors[i], others[j], similarity) / temperature for j in range(n_pairs)]
            total = total - torch.log(torch.exp(terms[i]) / sum(torch.exp(term) for term in terms))
    return total / (2 * n_pairs)


def random_pairs(n_pairs=6, size=4, dtype=torch.float64):
    generator = torch.Generator().manual_seed(3)
    z1 = torch.randn(n_pairs, size, dtype=torch.float64, generator=generator)
    z2 = z1 + 0.5 * torch.randn(n_pairs, size, dtype=torch.float64, generator=generator)
    return z1.to(dtype), z2.to(dtype)


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0, 7.0])
def test_value_and_gradients_equal_the_slow_reference(similarity, temperature):
    z1, z2 = (z.requires_grad_() for z in random_pairs())
    loss = SymInfoNCE(temperature, similarity)(z1, z2)
    expected = slow_sym_infonce(z1, z2, temperature, similarity)
    torch.testing.assert_close(loss, expected, rtol=1e-10, atol=1e-12)
    for gradient, reference in zip(
        torch.autograd.grad(loss, (z1, z2)), torch.autograd.grad(expected, (z1, z2)), strict=True
    ):
        torch.testing.assert_close(gradient, reference, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_float32_is_close_to_the_slow_reference(similarity):
    loss = SymInfoNCE(1.0, similarity)(*random_pairs(dtype=torch.float32))
    torch.testing.assert_close(loss.double(), slow_sym_infonce(*random_pairs(), 1.0, similarity), rtol=1e-6, atol=0)


@pytest.mark.parametrize("scale", [3.0, 8.0])  # most similarities' exponentials are no normal float32, or 0
def test_float32_is_close_to_the_slow_reference_for_encodings_far_apart(scale):
    z1, z2 = ((scale * z).requires_grad_() for z in random_pairs())
    narrow = [z.detach().float().requires_grad_() for z in (z1, z2)]
    expected, loss = slow_sym_infonce(z1, z2, 1.0, "neg_squared_euclidean"), SymInfoNCE(1.0, "neg_squared_euclidean")
    found = loss(*narrow)
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-4)
    for a, b in zip(torch.autograd.grad(found, narrow), torch.autograd.grad(expected, (z1, z2)), strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_gradcheck(similarity):
    z1, z2 = (z.requires_grad_() for z in random_pairs())
    # The centre and the scale are detached, which must not change the gradient.
    assert torch.autograd.gradcheck(SymInfoNCE(0.7, similarity), (z1, z2))


@pytest.mark.parametrize("temperature", [0.2, 1.0])
@pytest.mark.parametrize(("similarity", "contrast"), [("cosine", 1.0), ("neg_squared_euclidean", 2.0)])
def test_closed_form_for_identical_orthonormal_encodings(similarity, contrast, temperature):
    # Positives beat each of the K - 1 negatives by `contrast`, in both directions.
    eye = torch.eye(5, dtype=torch.float64)
    expected = math.log(1 + 4 * math.exp(-contrast / temperature))
    assert SymInfoNCE(temperature, similarity)(eye, eye).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_collapsed_encodings_cost_log_k(similarity):
    same = torch.ones(8, 3)
    assert SymInfoNCE(1.0, similarity)(same, same).item() == pytest.approx(math.log(8), rel=1e-6)


def test_both_directions_count():
    # Both z2 are z1_0: the rows of z1 each see a tie (log 2); each z2 prefers z1_0, which is right for one only.
    z1, z2 = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    reverse = (math.log(1 + math.exp(-1)) + math.log(1 + math.exp(1))) / 2
    loss = SymInfoNCE()
    assert loss(z1, z2).item() == pytest.approx((math.log(2) + reverse) / 2, rel=1e-6)
    assert loss(z1, z2).item() == pytest.approx(loss(z2, z1).item(), rel=1e-6)


def test_cosine_does_not_see_length_and_euclidean_does_not_see_shifts():
    z1, z2 = random_pairs()
    cosine, euclidean = SymInfoNCE(), SymInfoNCE(similarity="neg_squared_euclidean")
    torch.testing.assert_close(cosine(z1 * 7, z2 * 0.1), cosine(z1, z2))
    torch.testing.assert_close(euclidean(z1 + 3, z2 + 3), euclidean(z1, z2))


def test_euclidean_keeps_its_precision_far_from_the_origin():
    z1, z2 = random_pairs()
    far = 2.0**12  # float32 keeps 2^-12 here, so round the near points to that grid first
    z1, z2 = ((z * 2**10).round() / 2**10 for z in (z1, z2))
    near = slow_sym_infonce(z1, z2, 1.0, "neg_squared_euclidean")
    loss = SymInfoNCE(similarity="neg_squared_euclidean")((z1 + far).float(), (z2 + far).float())
    assert loss.item() == pytest.approx(near.item(), rel=1e-3)


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e-12, 1e4, 1e15, 1e30])
@pytest.mark.parametrize("temperature", [0.01, 1.0])
def test_cosine_stays_finite(scale, temperature):
    z1, z2 = ((z * scale).requires_grad_() for z in random_pairs(dtype=torch.float32))
    loss = SymInfoNCE(temperature)(z1, z2)
    loss.backward()
    assert torch.isfinite(loss) and loss >= 0
    assert torch.isfinite(z1.grad).all() and torch.isfinite(z2.grad).all()


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e-12, 1e4, 1e15])
@pytest.mark.parametrize("temperature", [0.01, 1.0])
def test_euclidean_stays_finite(scale, temperature):
    z1, z2 = ((z * scale).requires_grad_() for z in random_pairs(dtype=torch.float32))
    loss = SymInfoNCE(temperature, "neg_squared_euclidean")(z1, z2)
    loss.backward()
    assert torch.isfinite(loss) and loss >= 0
    assert torch.isfinite(z1.grad).all() and torch.isfinite(z2.grad).all()


@pytest.mark.parametrize("excess", [15.0, 39.0, 41.0, 88.0, 89.0, 92.0, 99.0, 101.0, 1e4])  # exp(89) is infinite
@pytest.mark.parametrize("negatives", ["cross", "all", "fresh"])
def test_a_positive_far_below_its_negatives_costs_the_difference(excess, negatives):
    z1 = torch.tensor([[0.0], [math.sqrt(excess)]], requires_grad=True)
    z2 = z1.detach().flip(0)
    if negatives == "fresh":
        loss = SymInfoNCE(similarity="neg_squared_euclidean").with_fresh_negatives(z1, z2, z1.detach(), z2)
    else:
        loss = SymInfoNCE(similarity="neg_squared_euclidean", negatives=negatives)(z1, z2)
    loss.backward()
    assert loss.item() == pytest.approx(excess, rel=1e-5)
    assert torch.isfinite(z1.grad).all() and (z1.grad != 0).all()


def test_one_row_of_zeros_is_equally_far_from_everything_in_cosine():
    z1 = torch.tensor([[0.0, 0.0], [0.0, 1.0]], requires_grad=True)
    loss = SymInfoNCE()(z1, torch.eye(2))
    # Rows: a tie, then 0 against 1. Columns: 0 against 0, then 0 against 1.
    assert loss.item() == pytest.approx((math.log(2) + math.log(1 + math.exp(-1))) / 2, rel=1e-6)
    loss.backward()
    assert torch.isfinite(z1.grad).all()


@pytest.mark.slow
def test_no_large_intermediate():
    # K x K x D in float32 would be 4 GiB; the loss needs some K x K tensors of 4 MiB.
    z = torch.randn(1024, 1024, generator=torch.Generator().manual_seed(0))
    with torch.profiler.profile(profile_memory=True) as profile:
        SymInfoNCE(similarity="neg_squared_euclidean")(z, z)
    assert max(event.cpu_memory_usage for event in profile.events()) <= 64 * 2**20


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan, math.inf])
def test_bad_temperature(temperature):
    with pytest.raises(UsageError, match="temperature must be positive"):
        SymInfoNCE(temperature)


def test_unknown_similarity_names_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'cosine'"):
        SymInfoNCE(similarity="cosin")
    with pytest.raises(UsageError, match="cosine, neg_squared_euclidean"):
        SymInfoNCE(similarity="xyz")


@pytest.mark.parametrize("shapes", [((4, 3), (5, 3)), ((4, 3), (4, 2)), ((4,), (4,)), ((2, 2, 2), (2, 2, 2))])
def test_shapes_that_differ(shapes):
    with pytest.raises(UsageError, match="must have the same shape"):
        SymInfoNCE()(torch.zeros(shapes[0]), torch.zeros(shapes[1]))


def test_a_batch_of_one_has_no_negatives():
    with pytest.raises(UsageError, match="at least two pairs"):
        SymInfoNCE()(torch.zeros(1, 3), torch.zeros(1, 3))


def test_repr_shows_both_settings():
    assert repr(SymInfoNCE(0.5)) == "SymInfoNCE(temperature=0.5, similarity='cosine')"


@pytest.mark.parametrize("block_rows", [1, 2, None])
def test_each_row_and_each_column_has_a_peak_of_its_own(block_rows):
    """Logits of 1,000 beside logits of -1,000: under a common peak the small sums would be lost."""
    a, b = torch.tensor([[1000.0], [-1000.0], [0.5]]), torch.tensor([[1.0], [1.0], [0.999]])
    rows, columns = logsumexp_of_products(a, b, columns=True, block_rows=block_rows)
    assert torch.allclose(rows, (a @ b.T).logsumexp(dim=1), rtol=1e-6)
    rows, _ = logsumexp_of_products(b, a, block_rows=block_rows)
    assert torch.allclose(columns, (a @ b.T).logsumexp(dim=0), rtol=1e-6)
    assert torch.allclose(rows, columns, rtol=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_sums_of_half_precision_are_computed_in_float32(dtype):
    torch.manual_seed(0)
    a, b = torch.randn(6, 4).to(dtype), torch.randn(5, 4).to(dtype)
    rows, _ = logsumexp_of_products(a, b)
    assert rows.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert torch.allclose(rows.double(), (a.double() @ b.double().T).logsumexp(dim=1), atol=1e-5)
