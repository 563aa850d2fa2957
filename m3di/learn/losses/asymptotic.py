"""The limit of the loss as the batch grows: alignment and entropy."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from m3di.learn.choices import Similarity
from m3di.learn.losses.logsumexp import logsumexp_of_products
from m3di.learn.losses.similarity import as_factors, check_similarity, paired_logits
from m3di.learn.losses.temperature import check_temperature


@dataclass(frozen=True)
class Asymptotic:
    """The terms of the asymptotic loss, in nats.

    Args:
        alignment: Mean of -sim(z1_i, z2_i) / tau: 0 or more for the Euclidean similarity, at least -1 / tau for
            the cosine. Lower is better aligned.
        entropy1: Entropy of the encodings of the first modality. Higher is more spread out.
        entropy2: The same of the second.
    """

    alignment: float
    entropy1: float
    entropy2: float

    @property
    def loss(self) -> float:
        """Alignment less the mean entropy (equation 5)."""
        return self.alignment - (self.entropy1 + self.entropy2) / 2


def asymptotic_terms(
    z1: Tensor, z2: Tensor, *, temperature: float = 1.0, similarity: Similarity = "cosine"
) -> Asymptotic:
    """Compute alignment and entropies of a batch: the asymptotic form of SymInfoNCE (equation 5), as a diagnostic.

    Alignment is measured by the loss's own similarity over tau, where the paper writes a Euclidean norm.

    The entropy of a modality is estimated by leave-one-out kernel density, with the kernel that the loss itself
    uses, exp(sim / tau): -1/K sum_i log( 1/(K - 1) sum_{j != i} kernel(z_i, z_j) ). For the Euclidean similarity
    the kernel is a normalised Gaussian density of variance tau / 2 a dimension, and this estimates the
    differential entropy of the encodings with such noise added, from above. For the cosine the kernel is not
    normalised; only changes of the entropy mean something.

    Args:
        z1: [K, D] float, K >= 2; row i belongs to row i of z2.
        z2: [K, D] float.
        temperature: tau > 0.
        similarity: As of the loss.

    Raises:
        UsageError: The temperature is not positive, or the similarity is unknown.
    """
    check_temperature(temperature)
    check_similarity(similarity)
    with torch.no_grad():
        z1, z2 = z1.float(), z2.float()
        alignment = -paired_logits(z1, z2, similarity, temperature).mean().item()
        entropies = [_entropy(z, temperature, similarity) for z in (z1, z2)]
    return Asymptotic(alignment, *entropies)


def _entropy(z: Tensor, temperature: float, similarity: Similarity) -> float:
    rows, _ = logsumexp_of_products(*as_factors(z, z, similarity, temperature), period=len(z))
    entropy = math.log(len(z) - 1) - rows.mean().item()
    if similarity == "neg_squared_euclidean":
        entropy += z.shape[1] / 2 * math.log(math.pi * temperature)
    return entropy
