"""The temperature of a loss, fixed or learned."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from m3di.errors import UsageError

LEAST_TEMPERATURE = 0.01  # of a learned one, as usual since CLIP: logits of 100 and more blow up


def check_temperature(temperature: float, *, learned: bool = False) -> None:
    """Check that the temperature is positive and finite, and can be learned if it should be; else raise UsageError.

    A learned one starts at `LEAST_TEMPERATURE` or more; below, its first steps would use another one.
    """
    if not (math.isfinite(temperature) and temperature > 0):
        raise UsageError(
            "the temperature must be positive", where="temperature", got=temperature, expected="a number above 0"
        )
    if learned and temperature < LEAST_TEMPERATURE:
        raise UsageError(
            "a learned temperature cannot start this low",
            where="temperature",
            got=temperature,
            expected=f"{LEAST_TEMPERATURE:g} or more, where it is kept",
            next_step=f"start at {LEAST_TEMPERATURE:g}, or keep {temperature:g} fixed (learn_temperature off)",
        )


def learned_temperature(start: float) -> nn.Parameter:
    """Make the logarithm of a temperature a parameter []; `tau_of` gives the temperature."""
    check_temperature(start, learned=True)
    return nn.Parameter(torch.tensor(math.log(start)))


def tau_of(log_temperature: Tensor) -> Tensor:
    """Return the temperature [], at least `LEAST_TEMPERATURE`, without a wait for a GPU.

    At the floor the gradient is that of the unbounded temperature: a clamp's own would be zero below it, and a
    temperature that has come down there could never rise again.
    """
    floored = log_temperature.detach().clamp_min(math.log(LEAST_TEMPERATURE))
    return (log_temperature + (floored - log_temperature.detach())).exp()


def keep_at_floor(log_temperature: Tensor) -> None:
    """Raise the logarithm to the floor if an update took it below, as CLIP does after each step."""
    with torch.no_grad():
        log_temperature.clamp_(min=math.log(LEAST_TEMPERATURE))
