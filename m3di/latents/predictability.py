"""What the graph itself leaks: how well each factor can be predicted from the content block alone.

A probe's score must be read against this: a style factor that depends on content is predictable from an encoding
that holds nothing but content.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from m3di.errors import UsageError
from m3di.latents.conditions import given_factors
from m3di.latents.content_predictor import N_NEIGHBOURS, ContentPredictor
from m3di.latents.factor import Factor
from m3di.latents.graph import apart
from m3di.latents.mechanism_use import MechanismUse
from m3di.latents.sampling import Samples, sample
from m3di.latents.spec import Spec
from m3di.latents.varying import Parent

GRID = 4096  # midpoints of the noise interval for exact conditional distributions
MAX_LABELS = 64  # so many labels are equally likely on a grid that has GRID points for each
LEAST_N = 2 * N_NEIGHBOURS


@dataclass(frozen=True)
class Bound:
    """How well a factor can be predicted from the content block.

    Attributes:
        view: The view that sees the factor.
        factor: Its name.
        role: Its role in the view.
        metric: `r2` for numbers, `accuracy` for labels.
        value: The best score that any predictor can reach; an estimate of it where `method` is `monte carlo`.
        chance: The score of the best constant prediction.
        method: `exact`, or `monte carlo`.
        error: Standard error of a Monte Carlo estimate of `value`, by the samples that it was scored on; 0 where it is
            exact. What equal or near samples miss, since they are few or only near, is not in it: so far, the value is
            too low.
    """

    view: str
    factor: str
    role: str
    metric: Literal["r2", "accuracy"]
    value: float
    chance: float
    method: Literal["exact", "monte carlo"]
    error: float = 0.0


def content_block(spec: Spec) -> frozenset[str]:
    """The factors that some view uses as content."""
    return frozenset(
        name for view in spec.views.values() for name, use in view.factors.items() if use.role == "content"
    )


def bounds(spec: Spec, *, n: int = 100_000, seed: int = 0) -> list[Bound]:
    """The bound of every factor of every observed view.

    Exact where the factor is content, constant, a number independent of content, a label without parents independent
    of it, or a function of categorical content without parents and one noise; elsewhere estimated on `n` samples, from
    the content that shares a cause with the factor. R2 is that of the mean within each value of the content, or over
    32 nearest neighbours where the content has numbers, less the variance that such a mean itself has; accuracy is that
    of the most frequent label among few or many, as predicts best. No score is below that of the best constant
    prediction.

    Args:
        spec: The spec.
        n: Samples of the estimate.
        seed: Their seed.

    Raises:
        UsageError: `n` is below 64: half of the samples are looked up among the neighbours of the other half.

    Example:
        >>> from m3di import bounds, load_spec
        >>> found = {f"{each.view}.{each.factor}": each.value for each in bounds(load_spec("m3di"), n=1000)}
        >>> found["image.object_shape"], found["image.spotlight_pos"]  # content is known, private is not
        (1.0, 0.0)
    """
    if n < LEAST_N:
        raise UsageError(
            "too few samples for an estimate", where="n", got=n, expected=f"{LEAST_N} or more", next_step="raise it"
        )
    content = content_block(spec)
    drawn = sample(spec, "train", n, seed=seed)
    predictor = ContentPredictor(spec, content, drawn)
    return [
        _bound(spec, content, predictor, drawn, view, name)
        for view, factors in drawn.views.items()
        for name in factors
        if spec.factors[name].kind != "seed"
    ]


def _bound(
    spec: Spec, content: frozenset[str], predictor: ContentPredictor, drawn: Samples, view: str, name: str
) -> Bound:
    factor, observed = spec.factors[name], spec.observed[view]
    use = observed.view.factors[name]
    metric: Literal["r2", "accuracy"] = "accuracy" if factor.type == "categorical" else "r2"
    raw = drawn.views[view][name]
    closed = _largest_probability(spec, view, name) if metric == "accuracy" else 0.0
    chance = _largest_share(raw) if closed is None else closed

    def bound(value: float, chance: float, method: Literal["exact", "monte carlo"]) -> Bound:
        return Bound(view, name, use.role, metric, value, chance, method)

    factual = observed.do is None and observed.frame == 0
    if observed.permuted and use.role == "content":
        return bound(chance, chance, "exact")  # another sample's: the sample's own content tells nothing of it
    if use.role == "constant" or (use.role == "content" and factual):
        return bound(1.0, 1.0 if use.role == "constant" else chance, "exact")
    timed = spec.is_chain and any(spec.moves(each) for each in spec.ancestors([name]))  # the number of the frame tells
    if not timed and not spec.ancestors([name]) & (spec.ancestors(content) | given_factors(spec)):
        if closed is not None:
            return bound(chance, chance, "exact")
        return Bound(view, name, use.role, metric, chance, chance, "monte carlo", predictor.error_of_share(raw))
    is_mixed = spec.mixed(observed.declared, name) is not None
    if factual and use.change is None and use.mechanism is None and spec.given is None and not is_mixed:
        exact = _exact(spec, content, view, name)
        if exact is not None:
            return bound(exact[0], exact[1], "exact")
    value, error = predictor.score(name, raw, metric)
    return Bound(view, name, use.role, metric, max(value, chance), chance, "monte carlo", error)


def _exact(spec: Spec, content: frozenset[str], view: str, name: str) -> tuple[float, float] | None:
    """Score and chance, where every parent is categorical content without parents of its own; else None."""
    factor, use = spec.factors[name], spec.factors[name].mechanism
    mechanism = spec.mechanism(use.name)
    if mechanism is None or mechanism.temporal or not use.parents or not content.issuperset(use.parents):
        return None
    if any(spec.replaced(each) for each in (name, *use.parents)):
        return None  # in some samples, another mechanism holds
    if name in spec.ancestors(content):
        return None  # content that it causes tells of it, too
    if apart(spec, spec.observed[view].declared).intersection(use.parents):
        return None  # in this view, a parent is not the content that is predicted from
    parents = [spec.factors[parent] for parent in use.parents]
    if any(parent.type != "categorical" or parent.mechanism.parents for parent in parents):
        return None
    n_points = GRID * factor.n if factor.type == "categorical" and factor.n <= MAX_LABELS else GRID
    noise = (np.arange(n_points) + 0.5) / n_points
    shares, distributions = [], []
    for values in itertools.product(*(range(parent.n) for parent in parents)):
        known = [
            Parent(parent, np.full(n_points, value), name)
            for name, parent, value in zip(use.parents, parents, values, strict=True)
        ]
        distributions.append(mechanism.values(noise, known, factor, use.parameters, strict=False))
        shares.append(np.prod([_share(spec, parent, value) for parent, value in zip(parents, values, strict=True)]))
    if not all(np.isfinite(each).all() for each in distributions):
        return None  # a parameter has no value for parents that never meet
    weights = np.array(shares) / np.sum(shares)
    if factor.type == "categorical":
        tables = np.stack([np.bincount(each, minlength=factor.n) / n_points for each in distributions])
        return float(weights @ tables.max(axis=1)), float((weights @ tables).max())
    means = np.array([each.mean() for each in distributions])
    within = float(weights @ np.array([each.var() + 1.0 / 12.0 * _step(each) for each in distributions]))
    between = float(weights @ means**2 - (weights @ means) ** 2)
    return between / (between + within), 0.0


def _step(values: NDArray[np.float64]) -> float:
    """Mean square of the grid's steps: the variance within a midpoint's interval, which the grid itself leaves out."""
    return float(np.mean(np.square(np.gradient(values))))


def _share(spec: Spec, factor: Factor, value: int) -> float:
    """Probability of a value of a categorical factor without parents."""
    use: MechanismUse = factor.mechanism
    mechanism = spec.mechanism(use.name)
    if mechanism is None:
        return 1.0 / factor.n
    noise = (np.arange(GRID * factor.n) + 0.5) / (GRID * factor.n)
    return float(np.mean(mechanism.values(noise, [], factor, use.parameters, strict=False) == value))


def _largest_probability(spec: Spec, view: str, name: str) -> float | None:
    """Probability of the likeliest value of a label without parents; None where only samples tell."""
    factor, observed = spec.factors[name], spec.observed[view]
    use = observed.view.factors[name]
    if observed.do is not None or use.change is not None or use.role == "constant":
        return None
    if spec.mixed(observed.declared, name) is not None or spec.replaced(name):
        return None
    if f"{observed.declared}.{name}" in spec.interventions or (spec.given is not None and name in given_factors(spec)):
        return None
    own = factor.mechanism if use.mechanism is None else use.mechanism
    mechanism = spec.mechanism(own.name)
    if own.parents or mechanism is None or mechanism.temporal:
        return None
    noise = (np.arange(GRID * factor.n) + 0.5) / (GRID * factor.n)
    return _largest_share(mechanism.values(noise, [], factor, own.parameters, strict=False))


def _largest_share(raw: NDArray[Any]) -> float:
    _, counts = np.unique(raw, return_counts=True)
    return float(counts.max() / len(raw))
