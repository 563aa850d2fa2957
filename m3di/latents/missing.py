"""What cannot be derived here, since a mechanism is not installed."""

from __future__ import annotations

from m3di.latents.conditions import given_factors
from m3di.latents.mechanism_use import MechanismUse
from m3di.latents.regimes import Replaced
from m3di.latents.spec import Spec


def missing_mechanisms(spec: Spec) -> dict[str, dict[str, str]]:
    """By view, the factors that cannot be derived here, each with the name of a mechanism that is not installed."""
    shared: dict[str, str] = {}
    order = spec.order * (2 if spec.sequence is not None else 1)  # once more for what earlier frames cause
    for name in order:
        factor = spec.factors[name]
        own = [factor.mechanism, *([factor.first] if factor.mechanism.lag else [])]
        _note_missing(spec, name, own, spec.replaced(name), shared)
    found: dict[str, dict[str, str]] = {}
    unknown = _needed_by_given(spec)
    for view, declared in spec.views.items():
        lacking: dict[str, str] = {}
        for name in order:
            use = declared.factors.get(name)
            if use is not None and use.role == "content":
                lacking |= {name: shared[name]} if name in shared else {}
                continue
            change = [use.change] if use is not None and use.change is not None else []
            mechanism = spec.used_mechanism(view, name)
            uses = [*([mechanism] if mechanism else []), *change]
            _note_missing(spec, name, uses, spec.replaced(name, view), lacking)
        found[view] = {name: each for name, each in lacking.items() if name in declared.factors}
        if unknown is not None:  # which draws were kept is not known
            found[view] = {name: found[view].get(name, unknown) for name in declared.factors}
    return found


def _needed_by_given(spec: Spec) -> str | None:
    """A mechanism that is not installed and that the condition of a spec depends on, or None."""
    factual = spec.factual
    for name in given_factors(factual):
        uses = [view.factors[name] for view in factual.views.values() if name in view.factors]
        mechanisms = [
            factual.factors[name].mechanism,
            *(each.use for each in factual.replaced(name)),
            *(each for use in uses for each in (use.mechanism, use.change) if each),
        ]
        for each in mechanisms:
            if factual.mechanism(each.name) is None:
                return each.name
    return None


def _note_missing(
    spec: Spec, name: str, uses: list[MechanismUse], replaced: tuple[Replaced, ...], lacking: dict[str, str]
) -> None:
    uses = [*uses, *(each.use for each in replaced)]
    absent = [use.name for use in uses if spec.mechanism(use.name) is None]
    absent += [lacking[parent] for use in uses for parent in use.causes if parent in lacking]
    absent += [lacking[each.switch] for each in replaced if each.switch in lacking]
    if absent:
        lacking[name] = absent[0]
