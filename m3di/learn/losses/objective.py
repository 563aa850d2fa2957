"""Losses by name, and their base class.

A loss of m3di is one file of this folder: a subclass of `Objective` under `@register_loss(NAME)`. The trainer, the
command line and the generic tests find it there. Register your own by the same call in your own module (`m3di train
--import MODULE --loss NAME`), or by an entry point of the group `m3di.losses`.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from m3di.errors import UsageError, did_you_mean
from m3di.system.registry import Registry


@dataclass(frozen=True)
class LossSettings:
    """Settings that several losses share; each uses some of them, see `Objective.heeds`.

    Args:
        temperature: tau, or where it starts.
        learn_temperature: Train it.
        similarity: See `SymInfoNCE`.
        negatives: See `SymInfoNCE`.
    """

    temperature: float = 1.0
    learn_temperature: bool = False
    similarity: str = "cosine"
    negatives: str = "cross"


class Objective(nn.Module):
    """A loss of batches of tuples of views.

    A subclass says which fields of `LossSettings` it heeds, takes them and its own options by name, and gives
    `of_pair`. Options are floats with defaults.
    """

    heeds: ClassVar[frozenset[str]] = frozenset()
    similarity: str = "cosine"
    """Which encodings the loss brings near each other, one of `SIMILARITIES`; a setting where the loss heeds it."""

    @property
    def tau(self) -> float | Tensor | None:
        """The current temperature, a number or a tensor []; None if the loss has none."""
        return None

    @property
    def temperature(self) -> float | None:
        """The same as a number."""
        tau = self.tau
        return tau.item() if isinstance(tau, Tensor) else tau

    def forward(self, z1: Tensor, z2: Tensor, *more: Tensor) -> Tensor:
        """Loss of a batch of pairs, or of tuples of three or more views: then the sum over all pairs of views.

        Args:
            z1: [K, D] float, encodings of one modality, K >= 2.
            z2: [K, D] float, encodings of the other; row i belongs to row i of z1.
            *more: [K, D] float each, encodings of further views.

        Returns:
            [] float32 (float64 for such encodings).

        Raises:
            UsageError: The shapes differ, are not [K, D], or K is 1.
        """
        views = (z1, z2, *more)
        check_views(views, type(self).__name__)
        self.before_forward()
        losses = [self.of_pair(*pair) for pair in itertools.combinations(views, 2)]
        return losses[0] if len(losses) == 1 else torch.stack(losses).sum()

    def before_forward(self) -> None:
        """Called before each batch."""

    def of_pair(self, z1: Tensor, z2: Tensor) -> Tensor:
        """Loss [] of two views, [K, D] each."""
        raise NotImplementedError


def check_views(views: tuple[Tensor, ...], where: str) -> None:
    """Check that all are [K, D] with the same K >= 2 and the same D; else raise UsageError."""
    first = views[0]
    if first.ndim != 2 or any(z.shape != first.shape for z in views):
        raise UsageError(
            "the encodings of the modalities must have the same shape",
            where=where,
            got=" and ".join(str(list(z.shape)) for z in views),
            expected="[K, D] each",
        )
    if len(first) < 2:
        raise UsageError(
            "a contrastive loss needs at least two pairs: one pair has no negatives",
            where=where,
            got=f"a batch of {len(first)}",
            expected="2 or more",
            next_step="use a larger batch",
        )


def wide(z: Tensor) -> Tensor:
    """Convert to float32 or wider: half precision is too coarse for distances."""
    return z.to(torch.promote_types(z.dtype, torch.float32))


LOSSES = Registry[type[Objective]](
    "loss",
    Objective,
    group="m3di.losses",
    package="m3di.learn.losses",
    otherwise="register your own with m3di.learn.register_loss; on the command line --import its module",
)
register_loss = LOSSES.register


def similarity_of(name: str, settings: LossSettings) -> str:
    """Return the similarity of a loss with these settings: its own where it heeds none."""
    loss = LOSSES.find(name)
    return settings.similarity if "similarity" in loss.heeds else loss.similarity


def options_of(name: str) -> dict[str, float]:
    """Return the own options of a loss, with their defaults."""
    parameters = inspect.signature(LOSSES.find(name).__init__).parameters.values()
    shared = set(LossSettings.__dataclass_fields__)
    return {
        each.name: each.default for each in parameters if isinstance(each.default, float) and each.name not in shared
    }


def check_loss(name: str, settings: LossSettings, options: Mapping[str, float]) -> None:
    """Check that the loss exists, uses the settings and has these options; else raise UsageError."""
    loss, known = LOSSES.find(name), options_of(name)
    for option in options:
        if option not in known:
            raise UsageError(
                f"the loss {name} has no option {option!r}",
                where="loss_options",
                expected=", ".join(f"{each} (default {default:g})" for each, default in known.items()) or "no options",
                next_step=did_you_mean(option, known),
            )
    plain = LossSettings()
    for field in LossSettings.__dataclass_fields__:
        if field not in loss.heeds and getattr(settings, field) != getattr(plain, field):
            raise UsageError(
                f"the loss {name} has no {field.replace('_', ' ')}",
                where=field,
                got=getattr(settings, field),
                expected=f"{getattr(plain, field)}, the default",
                next_step=f"leave {field} out, or set it to {getattr(plain, field)}, or use the loss infonce",
            )


def build_loss(name: str, settings: LossSettings, options: Mapping[str, float] | None = None) -> Objective:
    """Build a loss with the settings that it uses, and its own options.

    Raises:
        UsageError: See `check_loss`; or a value is out of the loss's range.
    """
    check_loss(name, settings, options or {})
    loss = LOSSES.find(name)
    return loss(**{field: getattr(settings, field) for field in sorted(loss.heeds)}, **(options or {}))
