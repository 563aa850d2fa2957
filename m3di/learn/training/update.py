"""Optimiser steps without a wait for a GPU; a loss or gradient that is not finite leaves the weights alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Made:
    """A finished optimiser step.

    Args:
        step: Its number, from 1.
        loss: Of its batch, before the update.
        lr: Learning rate.
        temperature: Tau, after the update; None if the loss has none.
    """

    step: int
    loss: float
    lr: float
    temperature: float | None

    def metrics(self) -> dict[str, float]:
        """Return the values of a line of metrics.csv."""
        known = {} if self.temperature is None else {"temperature": self.temperature}
        return {"loss": self.loss, "lr": self.lr, **known}


class NotFiniteError(FloatingPointError):
    """The loss or the gradient of a step is not finite; the weights are as before it.

    Args:
        step: Number of the step.
        what: What is not finite.
    """

    def __init__(self, step: int, what: str) -> None:
        super().__init__(what)
        self.step = step


class Updater:
    """Makes optimiser steps, and tells of each once its loss is known: at once, or with the next.

    At once is for the CPU. On a GPU the loss is known only when all that was asked for is computed, and to wait for it
    lets the GPU run dry. So there the numbers of a step are read after those of the next have been asked for, and
    the GPU itself leaves the weights alone from the first loss or gradient on that is not finite.

    Args:
        optimizer: Adam or AdamW; a fused one if late.
        weights: All parameters that it moves.
        clip_norm: The gradient is scaled down to this length.
        tau: Gives the temperature of the loss, a number or a tensor [] on the device; None if it has none.
        late: Whether each step is told of with the next one.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        weights: Iterable[nn.Parameter],
        clip_norm: float,
        tau: Callable[[], float | Tensor | None],
        *,
        late: bool,
    ) -> None:
        self.optimizer, self.weights, self.clip_norm, self.tau, self.late = optimizer, [*weights], clip_norm, tau, late
        self._pending: _Pending | None = None
        if late:
            # Fused Adam moves nothing if this is 1; it stays 1 once it is.
            self._stopped = torch.zeros((), device=self.weights[0].device)
            optimizer.found_inf = self._stopped  # type: ignore[attr-defined]

    def make(self, step: int, loss: Tensor, lr: float, backward: Callable[[], None] | None = None) -> list[Made]:
        """One optimiser step from a loss [] with its graph; the steps that are known of by now, in their order.

        Where the loss has no graph, `backward` computes the gradients.

        Raises:
            NotFiniteError: A loss or gradient is not finite: of this step, or of the one before if late.
        """
        self.optimizer.zero_grad()
        if backward is None:
            loss.backward()  # type: ignore[no-untyped-call]
        else:
            backward()
        norm = nn.utils.clip_grad_norm_(self.weights, self.clip_norm)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        both = torch.stack([loss.detach(), norm])
        if not self.late:
            check_finite(step, *both.tolist())  # before the update: one wait for the device
            self.optimizer.step()
            return [Made(step, both[0].item(), lr, _number(self.tau()))]
        torch.maximum(self._stopped, 1 - both.isfinite().all().float(), out=self._stopped)
        self.optimizer.step()
        before, self._pending = self._pending, _Pending(step, lr, both, self.tau())
        return [] if before is None else [before.made()]

    def flush(self) -> list[Made]:
        """The last step, unless it has been told of; waits for the device.

        Raises:
            NotFiniteError: Its loss or gradient is not finite.
        """
        before, self._pending = self._pending, None
        return [] if before is None else [before.made()]


class _Pending:
    """A step whose numbers are on their way from the device."""

    def __init__(self, step: int, lr: float, loss_and_norm: Tensor, tau: float | Tensor | None) -> None:
        self.step, self.lr, self.tau = step, lr, tau
        if isinstance(tau, Tensor):
            loss_and_norm = torch.cat([loss_and_norm, tau.detach().to(loss_and_norm.dtype)[None]])
        # From a GPU this goes to page-locked memory of its own, and is not there before the event has come.
        self.numbers = loss_and_norm.to("cpu", non_blocking=True)
        self.arrived: Any = None
        if loss_and_norm.device.type == "cuda":
            self.arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self.arrived.record()

    def made(self) -> Made:
        """Wait for the numbers, and look at them."""
        if self.arrived is not None:
            self.arrived.synchronize()
        loss, norm, *tau = self.numbers.tolist()
        check_finite(self.step, loss, norm)
        return Made(self.step, loss, self.lr, tau[0] if tau else _number(self.tau))


def check_finite(step: int, loss: float, norm: float) -> None:
    """Raise NotFiniteError unless both are."""
    if not math.isfinite(loss):
        raise NotFiniteError(step, f"loss {loss}")
    if not math.isfinite(norm):
        raise NotFiniteError(step, f"loss {loss:.4g} with a gradient of length {norm}")


def _number(tau: float | Tensor | None) -> float | None:
    return tau.item() if isinstance(tau, Tensor) else tau
