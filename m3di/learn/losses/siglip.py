"""The sigmoid loss for language image pre-training (Zhai et al., ICCV 2023)."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from m3di.learn.choices import Similarity
from m3di.learn.losses.objective import Objective, register_loss, wide
from m3di.learn.losses.similarity import as_factors, check_similarity
from m3di.learn.losses.temperature import check_temperature, keep_at_floor, learned_temperature, tau_of


@register_loss("siglip")
class SigLIP(Objective):
    """Classify each pair of encodings of two modalities by itself: do they belong together?

        -1/K sum_i sum_j log sigmoid( s_ij (sim(z1_i, z2_j) / tau + b) ),  s_ij = 1 where i = j, else -1

    Symmetric in the two modalities. It holds a K x K matrix.

    Args:
        temperature: tau; published training starts at 0.1.
        learn_temperature: Train tau, and b with it.
        similarity: See `SymInfoNCE`.
        bias: b; published training starts at -10, where the many pairs that do not belong together cost little.
    """

    heeds: ClassVar[frozenset[str]] = frozenset({"temperature", "learn_temperature", "similarity"})

    def __init__(
        self,
        temperature: float = 1.0,
        similarity: Similarity = "cosine",
        *,
        learn_temperature: bool = False,
        bias: float = -10.0,
    ) -> None:
        super().__init__()
        check_temperature(temperature, learned=learn_temperature)
        check_similarity(similarity)
        self.similarity, self._fixed_temperature = similarity, temperature
        self.log_temperature = learned_temperature(temperature) if learn_temperature else None
        self.bias: Tensor | float = nn.Parameter(torch.tensor(bias)) if learn_temperature else bias

    @property
    def tau(self) -> float | Tensor:
        """The temperature as it is now."""
        return self._fixed_temperature if self.log_temperature is None else tau_of(self.log_temperature)

    def before_forward(self) -> None:
        """Keep a learned temperature at its floor."""
        if self.log_temperature is not None and self.training and torch.is_grad_enabled():
            keep_at_floor(self.log_temperature)

    def of_pair(self, z1: Tensor, z2: Tensor) -> Tensor:
        """Loss [] of two views, [K, D] each, in nats."""
        with torch.autocast(z1.device.type, enabled=False):
            a, b = as_factors(wide(z1), wide(z2), self.similarity, self.tau)
            logits = a @ b.T + self.bias  # [K, K]
            signs = 2 * torch.eye(len(z1), dtype=logits.dtype, device=logits.device) - 1
            return F.softplus(-signs * logits).sum() / len(z1)
