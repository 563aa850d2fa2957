"""The schedule of the learning rate in a training or a simulation."""

from __future__ import annotations

import math

from m3di.learn.choices import Schedule


def learning_rate(step: int, *, lr: float, n_steps: int, schedule: Schedule, n_warmup_steps: int = 0) -> float:
    """Return the learning rate of a step, counted from 1.

    Args:
        step: 1 to `n_steps`.
        lr: What warm-up and schedule multiply: the highest, or a little more than that if there are both.
        n_steps: Steps in all.
        schedule: "constant", or "cosine": lr (1 + cos(pi (step - 1) / n_steps)) / 2, near 0 at the last step.
        n_warmup_steps: Steps in which a factor rises to 1, in equal parts; the cosine falls meanwhile.
    """
    warm = min(1.0, step / n_warmup_steps) if n_warmup_steps else 1.0
    if schedule == "constant":
        return lr * warm
    return lr * warm * (1 + math.cos(math.pi * (step - 1) / n_steps)) / 2
