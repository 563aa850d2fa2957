"""Factors that keys of a spec stand for (`mentions`, `misstates`, `changes`, `chosen`): they are what the key says.

A resolved spec has both, the key and the factors. Where they disagree, the key would be told and the factors sampled.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from m3di.latents.problems import Problem, shortened
from m3di.latents.yaml_text import Path

UNIFORM = {"name": "uniform"}


def contradictions(data: dict[str, Any], name: str, meant: dict[str, Any], path: Path) -> Iterator[Problem]:
    """Where a spec declares a factor otherwise than the key that stands for it.

    An intervention on the factor may do so. A case of a regime replaces the mechanism, and leaves it as it is declared.

    Args:
        data: The plain data of the spec.
        name: The factor.
        meant: The factor as the key declares it.
        path: Where the key is.
    """
    declared, views = data["factors"].get(name), data.get("views")
    done = data.get("interventions")
    done = done if isinstance(done, dict) else {}
    if name in done:
        return
    key = path[-2] if path[-2:-1] == ("mentions",) else path[-1]
    related: tuple[Path, ...] = (("factors", name),)
    wanted = meant.get("mechanism", UNIFORM)
    own = declared.get("mechanism", UNIFORM) if isinstance(declared, dict) else wanted
    if isinstance(own, dict) and _flat(own) != _flat(wanted):
        what = f"`{key}` says how {name} is drawn, and `factors` declares it otherwise"
        step = f"take {name} out of `factors`: `{key}` declares it"
        yield Problem(path, what, _told(name, own), _told(name, wanted), step, related=related)
        return
    for view, each in views.items() if isinstance(views, dict) and not done else ():
        uses = each.get("factors") if isinstance(each, dict) else None
        use = uses.get(name) if isinstance(uses, dict) else None
        if isinstance(use, dict) and (use.get("role") == "constant" or {"mechanism", "change"} & use.keys()):
            what = f"`{key}` says how {name} is drawn, and {view} draws it otherwise"
            step = f"write `{name}: private` in {view}, or leave it out there"
            related = (("views", view, "factors", name),)
            yield Problem(path, what, _told(name, use), _told(name, wanted), step, related=related)
            return


def _flat(mechanism: dict[str, Any]) -> str:
    """A mechanism by what it says: 1 and 1.0, a tuple and a list, are one."""
    return json.dumps(_plain(mechanism), sort_keys=True, default=str)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items() if each is not None}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def _told(name: str, data: dict[str, Any]) -> str:
    return shortened(f"{name}: {json.dumps(data, default=str)}".replace('"', ""))
