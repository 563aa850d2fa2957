"""The symmetric InfoNCE loss."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from m3di.errors import check_word
from m3di.learn.choices import NEGATIVES, Negatives, Similarity
from m3di.learn.losses.logsumexp import logsumexp_of_products
from m3di.learn.losses.objective import Objective, check_views, register_loss, wide
from m3di.learn.losses.rows import LINEAR_ABOVE, mean_infonce_of_rows
from m3di.learn.losses.similarity import as_factors, check_similarity, paired_logits
from m3di.learn.losses.temperature import check_temperature, keep_at_floor, learned_temperature, tau_of


@register_loss("infonce")
class SymInfoNCE(Objective):
    """Symmetric InfoNCE between two modalities (Daunhawer et al., ICLR 2023, equation 4).

    For K pairs of encodings (z1_i, z2_i), similarity sim and temperature tau, one direction is

        L(z1, z2) = 1/K sum_i -log( exp(sim(z1_i, z2_i) / tau) / sum_j exp(sim(z1_i, z2_j) / tau) )

    and the loss is (L(z1, z2) + L(z2, z1)) / 2: the mean over the K pairs (a sum over i, as InfoNCE is also
    written, would be K times this) and over the two directions, in nats. The negatives of a pair are the
    other encodings of the *other* modality in the batch; the positive is in the denominator too. The loss is
    never negative, and is log K where all similarities are equal.

    No K x K tensor is held: memory grows as K x D, plus one block of logits (see `logsumexp_of_products`).

    Args:
        temperature: tau > 0.
        similarity: "cosine" (in [-1, 1]; 0 if an encoding is all zeros) or "neg_squared_euclidean", which
            is -||a - b||^2 (in (-inf, 0]).
        negatives: "cross" is equation 4. With "all", what the published image/text code trains with, the other
            encodings of the *same* modality are negatives too: 2K - 2 for each of the 2K encodings.
        learn_temperature: Make the logarithm of tau a parameter, starting from `temperature`, which is then 0.01 or
            more. Tau never falls below 0.01, and can rise again from there.
        block_rows: Rows of logits computed at a time; by default as suits the device. The value does not depend
            on it, except for rounding.

    Raises:
        UsageError: temperature is not a positive number, or too low to be learned from; or similarity or negatives is
            an unknown word.
    """

    heeds: ClassVar[frozenset[str]] = frozenset({"temperature", "learn_temperature", "similarity", "negatives"})

    def __init__(
        self,
        temperature: float = 1.0,
        similarity: Similarity = "cosine",
        *,
        negatives: Negatives = "cross",
        learn_temperature: bool = False,
        block_rows: int | None = None,
    ) -> None:
        super().__init__()
        check_temperature(temperature)
        check_similarity(similarity)
        check_word(negatives, NEGATIVES, what="negatives")
        self.similarity = similarity
        self.negatives = negatives
        self.block_rows = block_rows
        self._fixed_temperature = temperature
        self.log_temperature = learned_temperature(temperature) if learn_temperature else None

    @property
    def tau(self) -> float | Tensor:
        """The current temperature; a learned one is a tensor [], without a wait for a GPU."""
        if self.log_temperature is None:
            return self._fixed_temperature
        return tau_of(self.log_temperature)

    def before_forward(self) -> None:
        """Keep a learned temperature at its floor."""
        if self.log_temperature is not None and self.training and torch.is_grad_enabled():
            keep_at_floor(self.log_temperature)

    def with_fresh_negatives(self, z1: Tensor, z2: Tensor, fresh1: Tensor, fresh2: Tensor) -> Tensor:
        """The objective of the published numerical simulation: negatives are a second draw of the same modality.

            1/K sum_i -log( exp(sim(z1_i, z2_i) / tau) / (exp(sim(z1_i, z2_i) / tau) + sum_j exp(sim(z1_i, fresh1_j) / tau)) )

        averaged with the same of (z2, z1, fresh2). The published code takes the mean instead of the sum over the
        K + 1 terms, which subtracts the constant log(K + 1).

        Args:
            z1: [K, D] float.
            z2: [K, D] float.
            fresh1: [N, D] float, encodings of the first modality of samples independent of `z1`.
            fresh2: [N, D] float, the same of the second modality.

        Returns:
            [] float, in nats.
        """  # noqa: E501 (a formula)
        check_views((z1, z2), "SymInfoNCE")
        tau = self.tau
        positives = self._positives(z1, z2, tau)  # [K]
        total = positives.new_zeros(())
        for anchors, negatives in ((z1, fresh1), (z2, fresh2)):
            a, b = self._factors(anchors, negatives, tau)
            total = total + mean_infonce_of_rows(a, b, positives, block_rows=self.block_rows)
        return total / 2

    def of_pair(self, z1: Tensor, z2: Tensor) -> Tensor:
        """Loss [] of two views, [K, D] each, in nats."""
        # With L_i the log-sum-exp of the negatives and p_i the positive, -log(e^p / (e^p + e^L)) = softplus(L - p):
        # never negative, and exact where it is tiny.
        tau = self.tau
        positives = self._positives(z1, z2, tau)  # [K]
        if self.negatives == "all":
            both = torch.cat([z1, z2])  # [2K, D]
            a, b = self._factors(both, both, tau)
            positives = torch.cat([positives, positives])  # [2K]
            # What the period leaves out are an encoding itself and its positive.
            return mean_infonce_of_rows(a, b, positives, period=len(z1), block_rows=self.block_rows)
        rows, columns = logsumexp_of_products(
            *self._factors(z1, z2, tau), period=len(z1), columns=True, block_rows=self.block_rows
        )  # [K], [K]
        there, back = (F.softplus(sums - positives, threshold=LINEAR_ABOVE) for sums in (rows, columns))
        return (there.mean() + back.mean()) / 2

    def _positives(self, z1: Tensor, z2: Tensor, tau: float | Tensor) -> Tensor:
        with torch.autocast(z1.device.type, enabled=False):
            return paired_logits(wide(z1), wide(z2), self.similarity, tau)

    def _factors(self, z1: Tensor, z2: Tensor, tau: float | Tensor) -> tuple[Tensor, Tensor]:
        with torch.autocast(z1.device.type, enabled=False):
            return as_factors(wide(z1), wide(z2), self.similarity, tau)

    def extra_repr(self) -> str:
        """Describe the loss for `print`."""
        text = f"temperature={self.temperature:g}, similarity={self.similarity!r}"
        text += f", negatives={self.negatives!r}" if self.negatives != "cross" else ""
        return text + (", learn_temperature=True" if self.log_temperature is not None else "")
