"""What the splits of a spec are, in words: for the card, `m3di info` and `m3di specs check`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from m3di.latents.intervention_texts import told
from m3di.latents.sampling import told_given
from m3di.latents.spec import Spec

MAX_SHOWN = 300


def told_splits(spec: Spec) -> dict[str, str]:
    """What is another one in each split that has a process of its own, in a line."""
    return {split: _told(spec, split) for split in spec.overlays}


def _told(spec: Spec, split: str) -> str:
    overlay, variant = spec.overlays[split], spec.variants[split]
    own = {target: each for target, each in variant.interventions.items() if spec.interventions.get(target) != each}
    parts = [f"do {each}" for each in told(own)]
    if variant.given is None:
        parts += ["no condition"] if spec.given is not None else []
    elif spec.given is None or spec.given.condition != variant.given.condition:
        parts.append(f"given {told_given(variant)}")
    regimes = {name: _without(each, own) for name, each in (overlay.get("regimes") or {}).items()}
    known = {*own, *(name for name, each in regimes.items() if "chosen" in each)}
    factors = {name: each for name, each in (overlay.get("factors") or {}).items() if name not in known}
    factors = {name: {key: each[key] for key in each if key != "moved"} for name, each in factors.items()}
    parts += [f"{name} {_flow(each)}" for name, each in factors.items() if each]
    parts += [f"view {name} {_flow(each)}" for name, each in (overlay.get("views") or {}).items()]
    parts += [f"regime {name} {_flow(each)}" for name, each in regimes.items() if each]
    return "; ".join(parts)


def _without(regime: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """What a split changes of a regime, without the mechanisms that its interventions have taken away."""
    cases = {
        case: {name: each for name, each in mechanisms.items() if each is not None or name not in own}
        for case, mechanisms in (regime.get("cases") or {}).items()
        if isinstance(mechanisms, dict)
    }
    kept = {case: each for case, each in cases.items() if each}
    return {key: each for key, each in regime.items() if key != "cases"} | ({"cases": kept} if kept else {})


def _flow(data: Any) -> str:
    """Data in one line of YAML."""
    text = yaml.safe_dump(data, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**6).strip()
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 3]}..."
