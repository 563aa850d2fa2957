"""Similarities, written as inner products: one matrix product gives all logits of a batch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from m3di.errors import check_word
from m3di.learn.choices import SIMILARITIES


def as_factors(
    z1: Tensor, z2: Tensor, similarity: str, temperature: float | Tensor, centre: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return vectors whose inner products are the logits: (a @ b.T)[i, j] = sim(z1_i, z2_j) / temperature.

    Args:
        z1: [M, D] float.
        z2: [N, D] float.
        similarity: One of `SIMILARITIES`. The cosine of a row of zeros with anything is 0.
        temperature: tau > 0, a number or a [] tensor.
        centre: [D], subtracted from both before distances are expanded; the mean of `z1` by default. It does
            not change the logits, only their rounding.

    Returns:
        [M, E] and [N, E] with E = D for the cosine and D + 2 for the Euclidean distance.
    """
    if similarity == "cosine":
        return _unit(z1) / temperature, _unit(z2)
    # -|a - b|^2 = 2 a.b - |a|^2 - |b|^2 cancels badly far from the origin; distances do not change when all points
    # move together, so move them to around the origin. No gradient need pass through the common shift.
    centre = z1.detach().mean(dim=0) if centre is None else centre  # [D]
    z1, z2 = z1 - centre, z2 - centre
    square1, square2 = z1.square().sum(dim=1, keepdim=True), z2.square().sum(dim=1, keepdim=True)  # [M, 1], [N, 1]
    a = torch.cat([2 * z1, -square1, -torch.ones_like(square1)], dim=1) / temperature  # [M, D + 2]
    b = torch.cat([z2, torch.ones_like(square2), square2], dim=1)  # [N, D + 2]
    return a, b


def paired_logits(z1: Tensor, z2: Tensor, similarity: str, temperature: float | Tensor) -> Tensor:
    """[K, D], [K, D] -> [K]: sim(z1_i, z2_i) / temperature."""
    if similarity == "cosine":
        return (_unit(z1) * _unit(z2)).sum(dim=1) / temperature
    return -(z1 - z2).square().sum(dim=1) / temperature


def _unit(z: Tensor) -> Tensor:
    """Rows of length 1; a row of zeros stays zero."""
    # Divided by its largest entry first, a row's squares neither overflow nor vanish, and its length is at
    # least 1: the floor of one half is met by rows of zeros only. The cosine does not change with scale, so no
    # gradient need pass through that division's denominator.
    largest = z.detach().abs().amax(dim=1, keepdim=True)  # [K, 1]
    return F.normalize(z / torch.where(largest > 0, largest, 1.0), dim=1, eps=0.5)


def check_similarity(similarity: str) -> None:
    """Check that the similarity is known; else raise a UsageError that names the nearest word."""
    check_word(similarity, SIMILARITIES, what="similarity")
