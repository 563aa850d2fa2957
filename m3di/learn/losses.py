"""The contrastive loss."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from m3di.errors import UsageError, near_match

Similarity = Literal["cosine", "neg_squared_euclidean"]
SIMILARITIES: tuple[str, ...] = get_args(Similarity)


class SymInfoNCE(nn.Module):
    """Symmetric InfoNCE between two modalities (Daunhawer et al., ICLR 2023, equation 4).

    For K pairs of encodings (z1_i, z2_i), similarity sim and temperature tau, one direction is

        L(z1, z2) = 1/K sum_i -log( exp(sim(z1_i, z2_i) / tau) / sum_j exp(sim(z1_i, z2_j) / tau) )

    and the loss is (L(z1, z2) + L(z2, z1)) / 2: the mean over the K pairs (a sum over i, as InfoNCE is also
    written, would be K times this) and over the two directions, in nats. The negatives of a pair are the
    other encodings of the *other* modality in the batch; the positive is in the denominator too. The loss is
    never negative, and is log K where all similarities are equal. Memory grows as K x K, not K x K x D.

    Args:
        temperature: tau > 0.
        similarity: "cosine" (in [-1, 1]; 0 where an encoding is all zeros) or "neg_squared_euclidean", which
            is -||a - b||^2 (in (-inf, 0]).

    Raises:
        UsageError: temperature is not a positive number, or similarity is unknown.
    """

    def __init__(self, temperature: float = 1.0, similarity: Similarity = "cosine") -> None:
        super().__init__()
        check_temperature(temperature)
        check_similarity(similarity)
        self.temperature = temperature
        self.similarity = similarity

    def forward(self, z1: Tensor, z2: Tensor) -> Tensor:
        """Loss of a batch of pairs.

        Args:
            z1: [K, D] float, encodings of one modality, K >= 2.
            z2: [K, D] float, encodings of the other; row i belongs to row i of z1.

        Returns:
            [] float, in nats.

        Raises:
            UsageError: The shapes differ, are not [K, D], or K is 1.
        """
        _check_pairs(z1, z2)
        similarities = _cosine if self.similarity == "cosine" else _neg_squared_euclidean
        logits = similarities(z1, z2) / self.temperature  # [K, K]; row: z1, column: z2; pairs on the diagonal
        pairs = torch.arange(len(z1), device=z1.device)  # [K]
        return (F.cross_entropy(logits, pairs) + F.cross_entropy(logits.T, pairs)) / 2

    def extra_repr(self) -> str:
        """What `print(loss)` shows."""
        return f"temperature={self.temperature}, similarity={self.similarity!r}"


def check_temperature(temperature: float) -> None:
    """Raise UsageError unless the temperature is a positive, finite number."""
    if not (math.isfinite(temperature) and temperature > 0):
        raise UsageError(
            "the temperature must be positive", where="temperature", got=temperature, expected="a number above 0"
        )


def check_similarity(similarity: str) -> None:
    """Raise UsageError, naming the nearest known word, unless the similarity is known."""
    if similarity not in SIMILARITIES:
        near = near_match(similarity, SIMILARITIES)
        raise UsageError(
            "unknown similarity",
            where="similarity",
            got=repr(similarity),
            expected=" or ".join(SIMILARITIES),
            next_step=f"did you mean {near!r}?" if near else None,
        )


def _check_pairs(z1: Tensor, z2: Tensor) -> None:
    if z1.shape != z2.shape or z1.ndim != 2:
        raise UsageError(
            "the encodings of the two modalities must have the same shape",
            where="SymInfoNCE",
            got=f"{list(z1.shape)} and {list(z2.shape)}",
            expected="[K, D] twice",
        )
    if len(z1) < 2:
        raise UsageError(
            "a contrastive loss needs at least two pairs: one pair has no negatives",
            where="SymInfoNCE",
            got=f"a batch of {len(z1)}",
            expected="2 or more",
            next_step="use a larger batch",
        )


def _cosine(z1: Tensor, z2: Tensor) -> Tensor:
    """[K, D], [K, D] -> [K, K] cosines."""
    return _unit(z1) @ _unit(z2).T


def _unit(z: Tensor) -> Tensor:
    """Rows of length 1; a row of zeros stays zero."""
    # Divided by its largest entry first, a row's squares neither overflow nor vanish, and its length is at
    # least 1: the floor of one half is met by rows of zeros only. The cosine does not change with scale, so no
    # gradient need pass through that division's denominator.
    largest = z.detach().abs().amax(dim=1, keepdim=True)  # [K, 1]
    return F.normalize(z / torch.where(largest > 0, largest, 1.0), dim=1, eps=0.5)


def _neg_squared_euclidean(z1: Tensor, z2: Tensor) -> Tensor:
    """[K, D], [K, D] -> [K, K] of -||z1_i - z2_j||^2, as -||a||^2 - ||b||^2 + 2 a.b."""
    # The expansion cancels badly far from the origin; distances do not change when all points move together,
    # so move them to around the origin. No gradient need pass through the common shift.
    centre = torch.cat([z1, z2]).detach().mean(dim=0)  # [D]
    z1, z2 = z1 - centre, z2 - centre
    squares1 = z1.square().sum(dim=1)  # [K]
    squares2 = z2.square().sum(dim=1)  # [K]
    return 2 * z1 @ z2.T - squares1[:, None] - squares2[None, :]
