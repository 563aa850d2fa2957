"""Read the factors of a dataset for probes: numbers, labels, angles, and the bound by the graph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m3di.data import Multimodal3DIdent
from m3di.errors import M3diError, UsageError, did_you_mean
from m3di.evaluate.encoded import FactorValues
from m3di.latents import Factor, Spec, bounds

RADIANS = {"rad": 1.0, "deg": np.pi / 180, "hue": 2 * np.pi, "turn": 2 * np.pi}  # by unit
N_BOUND = 20_000  # samples of the bounds that have no closed form
NAN = float("nan")


def factors_of(fit: Multimodal3DIdent, test: Multimodal3DIdent) -> dict[str, tuple[FactorValues, ...]]:
    """Return, by view, the factors to probe its encoding for.

    These are its factors that are not constant; for a view with permuted content, also the content that the sample had
    before.

    Args:
        fit: Samples that probes are fitted on.
        test: Samples to score, with the same views and factors.

    Raises:
        M3diError: The datasets differ in views or factors.
    """
    spec, values = test.spec, (fit.factor_values, test.factor_values)
    known = bounds_of(spec)
    found = {}
    for view in test.views:
        observed = spec.observed[view]
        seen = [(view, name) for name in values[1][view]]
        if observed.permuted:
            uses = observed.view.factors
            seen += [(observed.declared, name) for name, use in uses.items() if use.role == "content"]
        found[view] = tuple(
            _with_bound(_values(spec, values, owner, name, fit), spec, known, view)
            for owner, name in seen
            if spec.observed[owner].view.factors[name].role != "constant"
        )
    return found


def bounds_of(spec: Spec) -> Mapping[tuple[str, str], float]:
    """Return the bound of each (view, factor); empty if a mechanism of the spec is not installed."""
    try:
        return {(each.view, each.factor): each.value for each in bounds(spec, n=N_BOUND)}
    except M3diError:
        return {}


def angle_rad(factor: Factor, raw: NDArray[Any]) -> NDArray[np.float64] | None:
    """Return a hue or an angle in radians; None for other factors."""
    if factor.type != "continuous" or factor.kind not in ("hue", "angle"):
        return None
    unit = factor.unit or ("hue" if factor.kind == "hue" else "rad")
    return factor.physical(raw) * RADIANS[unit] if unit in RADIANS else None


def _values(spec: Spec, both: tuple[Any, Any], view: str, name: str, fit: Multimodal3DIdent) -> FactorValues:
    if name not in both[0].get(view, {}):
        raise M3diError(
            f"the samples to fit on have no factor {view}.{name}",
            where=str(fit.root),
            expected="datasets of one spec, up to interventions",
        )
    factor, use = spec.factors[name], spec.observed[view].view.factors[name]
    kind = np.int64 if factor.type == "categorical" else np.float64
    known, new = (np.asarray(each[view][name]).astype(kind) for each in both)
    angles = angle_rad(factor, known), angle_rad(factor, new)
    angle = None if angles[0] is None or angles[1] is None else (angles[0], angles[1])
    return FactorValues(view, name, use.role, factor.kind, known, new, angle)


def _with_bound(values: FactorValues, spec: Spec, known: Mapping[tuple[str, str], float], view: str) -> FactorValues:
    """Add the bound for an encoding of `view`, whose content may differ from that of the factor's view."""
    observed = spec.observed[view]
    if values.role == "content" and values.view == view:
        return replace(values, bound=1.0)
    if observed.permuted:
        return replace(values, bound=values.chance)  # the shown content tells nothing of other factors
    if observed.do is not None or observed.frame:
        return values
    return replace(values, bound=known.get((view, values.name), NAN))


def choose_factors(
    factors: Mapping[str, tuple[FactorValues, ...]], names: Iterable[str], where: str
) -> dict[str, tuple[FactorValues, ...]]:
    """Choose the factors with these names; all if no name is given.

    Raises:
        UsageError: There is no factor of that name.
    """
    wanted, known = tuple(names), {each.name for found in factors.values() for each in found}
    for name in wanted:
        if name not in known:
            raise UsageError(
                f"there is no factor {name!r} to probe for",
                where=where,
                expected=", ".join(sorted(known)),
                next_step=did_you_mean(name, known),
            )
    return {view: tuple(each for each in found if not wanted or each.name in wanted) for view, found in factors.items()}
