"""What is sound in a spec and may yet be no intention: `specs check`, `preview` and `render` tell it."""

from __future__ import annotations

from collections.abc import Iterator

from m3di.latents.conditions import given_factors
from m3di.latents.graph import unlike
from m3di.latents.problems import listed
from m3di.latents.reach import Reach
from m3di.latents.spec import Spec
from m3di.latents.view import APART


def notes(spec: Spec) -> list[str]:
    """What is sound and may yet be no intention."""
    reach = Reach(spec)
    return [*_of_views(spec), *_unseen(spec), *_same_pairs(spec, reach), *_frames(spec, reach)]


def _of_views(spec: Spec) -> Iterator[str]:
    for view, declared in spec.views.items():
        for name, use in declared.factors.items():
            others = unlike(spec, view, name)
            if use.role in APART and others and not use.unshared:
                says = f"If that is meant, {{role: {use.role}, unshared: true, ...}} says so, and this note goes."
                yield f"{view} has a value of {name} of its own ({use.role}); {_told(name, others)}. {says}"
            yield from declared.kind.notes(spec, view, name)


def _unseen(spec: Spec) -> Iterator[str]:
    """Factors without any effect, such as one whose name is another one where it is meant."""
    shown = {name for view in spec.views.values() for name in view.factors}
    needed = spec.ancestors(shown) | given_factors(spec)
    unseen = [name for name in spec.factors if name not in needed]
    if unseen:
        them, are = (
            ("it", "it is in no table, and changes")
            if len(unseen) == 1
            else ("them", "they are in no table, and change")
        )
        yield (
            f"No view sees {listed(unseen)}, or what follows {them}: {are} no sample. Let a view "
            "see what is meant to be seen ({role: private, recorded: true} for the table alone); `FACTOR: null` under "
            "`factors` takes one away that is inherited."
        )


def _same_pairs(spec: Spec, reach: Reach) -> Iterator[str]:
    """Views that see a factor, and are the factual ones in the world where it is drawn again."""
    for name in spec.pairs.counterfactual if spec.pairs else ():
        reached = reach.views(name)
        same = [view for view, each in spec.views.items() if name in each.factors and view not in reached]
        if same:
            pairs = listed(f"{view}_do_{name} as {view}" for view in same)
            yield f"Another value of {name} does not show in {listed(same)}: the samples have {pairs}."


def _frames(spec: Spec, reach: Reach) -> Iterator[str]:
    if spec.sequence is None:
        return
    moving = [name for name in spec.factors if spec.moves(name)]
    framed = [view for view, each in spec.views.items() if spec.is_chain or each.kind.has_frames]
    if not any(view in framed for name in moving for view in reach.views(name)):
        yield (
            "No factor that a view shows moves: all frames of a sequence are alike. A factor moves by a parent in an "
            "earlier frame (NAME@-1), or is named in `redrawn`."
        )
    for name in spec.factors:
        for each in spec.replaced(name):
            switches = any(map(spec.moves, spec.ancestors([each.switch])))
            if switches and not spec.moves(name) and each.use.name != "constant":
                yield (
                    f"{each.switch} varies from frame to frame, and the noise of {name} stays: in all frames where the "
                    f"case holds, {name} has one value. With the mechanism {{name: copy, parents: [{name}@-1]}} it is "
                    "set to new ones."
                )


def _told(name: str, others: dict[str, list[str]]) -> str:
    shared = [other for other, shown in others.items() if shown == [name]]
    following = [f"{', '.join(shown)} of {other} follows" for other, shown in others.items() if shown != [name]]
    parts = ([f"{', '.join(shared)} share another one"] if shared else []) + (
        [f"{' and '.join(following)} the shared one, not this one"] if following else []
    )
    return ", and ".join(parts)
