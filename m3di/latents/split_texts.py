"""What the splits of a spec are, in words: for the card, `m3di info` and `m3di specs check`."""

from __future__ import annotations

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
    factors = {name: each for name, each in (overlay.get("factors") or {}).items() if name not in own}
    parts += [f"{name} {_flow(each)}" for name, each in factors.items()]
    parts += [f"view {name} {_flow(each)}" for name, each in (overlay.get("views") or {}).items()]
    return "; ".join(parts)


def _flow(data: Any) -> str:
    """Data in one line of YAML."""
    text = yaml.safe_dump(data, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**6).strip()
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 3]}..."
