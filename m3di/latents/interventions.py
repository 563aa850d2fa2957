"""Interventions: the same noise with one mechanism replaced."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from m3di.errors import UsageError
from m3di.latents.factor import Factor
from m3di.latents.load import plain_spec, spec_from_dict
from m3di.latents.mechanisms import find_mechanism
from m3di.latents.sample import Samples, sample
from m3di.latents.spec import Spec, hint

Intervention = float | str | Mapping[str, Any]


def do(spec: Spec, interventions: Mapping[str, Intervention] | None = None, **by_name: Intervention) -> Spec:
    """A spec under interventions.

    Args:
        spec: The spec.
        interventions: By factor, or by `VIEW.FACTOR` to intervene in one view only:

            - a raw value or the name of a value: a hard intervention, `do(spec, object_xpos="right")`;
            - the name of a mechanism, or a mapping with `name`: a soft one, `do(spec, object_color="uniform")`;
            - a mapping without `name`: a shift of the factor's own mechanism,
              `do(spec, object_color={"strength": 0.5})`.
        **by_name: More of them, as keywords.

    Returns:
        The spec with those mechanisms replaced. Factors keep their noise: sampled with the same seed, all that does
        not descend from the factors stays the same, bit for bit.

    Raises:
        UsageError: Unknown factor, view, value or mechanism, or a value out of range.
    """
    plain = plain_spec(spec)
    for target, intervention in {**(interventions or {}), **by_name}.items():
        view, _, name = target.rpartition(".")
        if name not in spec.factors:
            raise UsageError(f"no factor is called {name!r}{hint(name, spec.factors)}", where=f"do({target})")
        if view and (view not in spec.views or name not in spec.views[view].factors):
            views = ", ".join(each for each, declared in spec.views.items() if name in declared.factors)
            raise UsageError(f"no view {view!r} sees {name!r}", where=f"do({target})", expected=f"one of {views}")
        replacement = _mechanism(spec.factors[name], intervention, target)
        own = plain["factors"][name].get("mechanism", {"name": "uniform"})
        uses = [plain["views"][view]["factors"]] if view else [each["factors"] for each in plain["views"].values()]
        for factors in uses:
            if name in factors:
                _intervene(factors, name, own, replacement, only_here=bool(view))
        if not view:
            plain["factors"][name]["mechanism"] = _replaced(own, replacement)
    return spec_from_dict(plain, where=f"do({', '.join({**(interventions or {}), **by_name})})")


def counterfactual(
    samples: Samples, interventions: Mapping[str, Intervention] | None = None, **by_name: Intervention
) -> Samples:
    """The same samples, had some mechanisms been others: all noise is kept. See `do` for the arguments."""
    spec = do(samples.spec, interventions, **by_name)
    return sample(spec, samples.split, samples.n, seed=samples.seed, start=samples.start)


def permute_content(spec: Spec) -> Spec:
    """A spec whose samples have every view twice: as it is, and as `VIEW_permuted` with another sample's content.

    In the second one neighbours (samples 0 and 1, 2 and 3, ...) have changed places in all content factors, and
    nothing else is another: style keeps the values that the sample's own content has caused. There, content and style
    are independent whatever the graph says, so what an encoder of content alone tells of style is nothing.

    Raises:
        UsageError: The spec has frames.
    """
    plain = plain_spec(spec)
    plain["pairs"] = {**plain.get("pairs", {}), "permuted_content": True}
    return spec_from_dict(plain, where="permuted content")


def parse_do(text: str) -> tuple[str, Intervention]:
    """An intervention as written on the command line: `object_xpos=right`, `object_color=0.2`, `hue=uniform`.

    Raises:
        UsageError: It has no `=`.
    """
    target, equals, value = text.partition("=")
    if not (equals and target.strip() and value.strip()):
        raise UsageError(
            "an intervention is written FACTOR=VALUE",
            where="--do",
            got=repr(text),
            expected="for example object_xpos=right, object_color=0.2 or object_color=uniform",
        )
    try:
        return target.strip(), float(value)
    except ValueError:
        return target.strip(), value.strip()


def intervene(spec: Spec, interventions: Iterable[str]) -> Spec:
    """A spec under interventions written as on the command line, see `parse_do`."""
    parsed = dict(parse_do(text) for text in interventions)
    return do(spec, parsed) if parsed else spec


@dataclass(frozen=True)
class _Replacement:
    """What a mechanism becomes: `whole` replaces it, else its parameters are laid over."""

    data: dict[str, Any]
    whole: bool


def _mechanism(factor: Factor, intervention: Intervention, target: str) -> _Replacement:
    if isinstance(intervention, Mapping):
        return _Replacement(dict(intervention), whole="name" in intervention)
    if isinstance(intervention, str):
        if factor.type == "categorical" and intervention in factor.names:
            return _Replacement({"name": "constant", "value": factor.names.index(intervention)}, whole=True)
        if find_mechanism(intervention) is not None:
            return _Replacement({"name": intervention}, whole=True)
        known = factor.names if factor.type == "categorical" and factor.values else ()
        raise UsageError(
            f"{intervention!r} is neither a value of the factor nor a mechanism{hint(intervention, known)}",
            where=f"do({target})",
            expected=", ".join((*known, "a mechanism such as uniform")),
        )
    low, high = factor.bounds
    if not low <= intervention <= high or (factor.type != "continuous" and intervention != int(intervention)):
        kind = "a number" if factor.type == "continuous" else "a whole number"
        raise UsageError(
            "the value is not one of the factor's", where=f"do({target})", got=f"{intervention:g}",
            expected=f"{kind} from {low:g} to {high:g}",
        )  # fmt: skip
    return _Replacement({"name": "constant", "value": float(intervention)}, whole=True)


def _replaced(mechanism: dict[str, Any], replacement: _Replacement) -> dict[str, Any]:
    return replacement.data if replacement.whole else {**mechanism, **replacement.data}


def _intervene(
    factors: dict[str, Any], name: str, own: dict[str, Any], replacement: _Replacement, *, only_here: bool
) -> None:
    """Change how a view uses a factor, where the factor's own mechanism does not decide."""
    use = factors[name] if isinstance(factors[name], dict) else {"role": factors[name]}
    if only_here:
        if replacement.data.get("name") == "constant":
            factors[name] = {"role": "constant", "value": replacement.data["value"]}
        else:
            factors[name] = {"role": "private", "mechanism": _replaced(use.get("mechanism", own), replacement)}
    elif use["role"] == "constant":
        if replacement.data.get("name") == "constant":
            factors[name] = {"role": "constant", "value": replacement.data["value"]}
        else:
            factors[name] = {"role": "private"}
    elif "mechanism" in use:
        factors[name] = {**use, "mechanism": _replaced(use["mechanism"], replacement)}
