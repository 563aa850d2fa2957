"""What is wrong with a sequence: frames without an earlier one, parents of frames that there are not, names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from m3di.latents.mechanism_checks import unknown_factor
from m3di.latents.mechanism_use import MechanismUse
from m3di.latents.modality import modalities
from m3di.latents.problems import Problem
from m3di.latents.spec import Spec
from m3di.latents.yaml_text import Path

MAX_VIEWS = 1000
"""Frames that may be views of one sample."""


def sequence_problems(spec: Spec, declared: Sequence[str]) -> Iterator[Problem]:
    """What is wrong with the frames of a spec."""
    for name in spec.factors:
        yield from _of_factor(spec, name)
    if spec.sequence is None:
        return
    moving = " or ".join(each.name for each in modalities() if each.has_frames)
    if not spec.is_chain and not any(view.kind.has_frames for view in spec.views.values()):
        yield Problem(
            ("sequence",),
            f"there is no {moving} view to have frames",
            expected=f"a view of the modality {moving}",
            next_step="take `sequence` away, or say `frames: samples`",
        )
    if spec.sequence.length > MAX_VIEWS and not spec.is_chain:
        yield Problem(
            ("sequence", "length"),
            f"a sample has at most {MAX_VIEWS} frames as views",
            expected=f"a whole number <= {MAX_VIEWS}, or `frames: samples`",
            next_step="say `frames: samples`: then each frame is a sample",
        )
    for number, name in enumerate(spec.sequence.redrawn):
        if name not in declared:
            yield unknown_factor(("sequence", "redrawn", number), name, declared)


def _moved(spec: Spec, name: str) -> Iterator[Problem]:
    """Interventions that a factor notes, and that are none."""
    for number, target in enumerate(spec.factors[name].moved):
        if target.rpartition(".")[2] != name or spec.interventions.keys().isdisjoint((name, target)):
            what, wanted = f"{target} is no intervention on {name}", f"{name}, or VIEW.{name}, of `interventions`"
            yield Problem(
                ("factors", name, "moved", number), what, repr(target), wanted, "leave `moved` out: m3di writes it"
            )


def _of_factor(spec: Spec, name: str) -> Iterator[Problem]:
    factor = spec.factors[name]
    path: Path = ("factors", name)
    uses: dict[Path, MechanismUse] = {(*path, "mechanism"): factor.mechanism}
    uses |= {each.path: each.use for each in spec.replaced(name)}
    for view, each in spec.views.items():
        mechanism = each.factors[name].mechanism if name in each.factors else None
        if mechanism is not None:
            uses[("views", view, "factors", name, "mechanism")] = mechanism
    earliest = max(uses, key=lambda place: uses[place].lag)
    lag = uses[earliest].lag
    has_first = "first" in factor.model_fields_set
    yield from _moved(spec, name)
    if lag and spec.sequence is None:
        yield Problem(
            earliest,
            f"{name} has a parent in an earlier frame, and the spec has no frames",
            ", ".join(uses[earliest].parents),
            "sequence: {length: 8}, at the top of the spec",
            "add `sequence`, or take `@-1` away",
        )
    if has_first and factor.first.lag:
        yield Problem(
            (*path, "first"),
            "the first frame has no earlier one",
            ", ".join(factor.first.parents),
            "parents of the same frame",
            "take `@-1` away",
        )
    if has_first and not lag and name not in {target.rpartition(".")[2] for target in spec.interventions}:
        yield Problem(
            (*path, "first"),
            f"{name} has no parent in an earlier frame: `first` would have no effect",
            expected="`first` beside a mechanism with a parent NAME@-1",
            next_step="take `first` away",
        )
    if lag and not has_first and not np.isfinite(factor.bounds).all():
        yield Problem(
            path,
            f"{name} has no range, from which its first frame could be drawn",
            expected="`first`, a mechanism, or `range`",
            next_step="add `first`, such as  first: {name: normal, mean: 0, std: 1}",
        )
