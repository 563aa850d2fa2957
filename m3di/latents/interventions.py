"""Interventions: the same noise with one mechanism replaced."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from m3di.errors import UsageError
from m3di.latents.graph import shared_ancestors, unlike
from m3di.latents.problems import hint, listed
from m3di.latents.reach import Reach, is_drawn_again
from m3di.latents.replacement import Intervention, Replacement, asked_mechanism, replaced
from m3di.latents.resolve import plain_spec, spec_from_dict
from m3di.latents.said import set_in_vain
from m3di.latents.sampling import Samples, sample
from m3di.latents.spec import Spec
from m3di.latents.splits import in_every_split
from m3di.latents.view import APART


def do(spec: Spec, interventions: Mapping[str, Intervention] | None = None, **by_name: Intervention) -> Spec:
    """A spec under interventions.

    Args:
        spec: The spec.
        interventions: By factor, or by `VIEW.FACTOR` to intervene in one view only:

            - a raw value or the name of a value: a hard intervention, `do(spec, object_xpos="right")`; the factor has
              that value in every view, also in one that changes it (`change`);
            - the name of a mechanism, or a mapping with `name`: a soft one, `do(spec, object_color="uniform")`;
            - a mapping without `name`: a shift of the own mechanism, `do(spec, object_color={"strength": 0.5})`.
        **by_name: More of them, as keywords.

    Returns:
        The spec with those mechanisms replaced, and `interventions` that say which. Factors keep their noise: sampled
        with the same seed, all that does not descend from the factors stays the same, bit for bit. Of a factor that is
        set, the record `VIEW_changed_FACTOR` says `kept`. Where the spec has a condition (`given`), what was accepted
        is not rejected again. Regimes no longer replace a mechanism that is another one from here; the columns that say
        in which samples they did stay as they were drawn. In one view only,
        content that descends from the factor is style there: it follows what the view has, and is not shared.

    Raises:
        UsageError: Unknown factor, view, value or mechanism, a value out of range, or what would change no sample: a
            mechanism of a factor that every view which sees it draws again by `change`, or a factor without effect.

    Example:
        >>> from m3di import do, load_spec, sample
        >>> right = do(load_spec("m3di"), object_xpos="right")
        >>> sample(right, "train", 3).views["image"]["object_xpos"].tolist()
        [2, 2, 2]
    """
    wanted = {**(interventions or {}), **by_name}
    return in_every_split(spec, lambda each: _done(each, wanted))


def _done(spec: Spec, wanted: Mapping[str, Intervention]) -> Spec:
    """A spec, whose splits are all alike, under interventions."""
    plain = plain_spec(spec)
    _note_factual(spec, plain)
    # Of a factor, then of one view of it: what is asked of one view holds there, in any order.
    for target in sorted(wanted, key=lambda each: "." in each):
        _do_one(spec, plain, target, wanted[target])
    where = f"do({', '.join(wanted)})"
    _drop_idle_marks(plain, where)
    return spec_from_dict(plain, where=where)


def _do_one(spec: Spec, plain: dict[str, Any], target: str, intervention: Intervention) -> None:
    """Replace one mechanism in `plain`, and note it there."""
    view, _, name = target.rpartition(".")
    _check_target(spec, target, view, name)
    vain = set_in_vain(spec.views, name)
    if vain is not None:
        raise UsageError(
            vain["what"], where=f"do({target})", got=target, expected=vain["expected"], next_step=vain["next"]
        )
    replacement = asked_mechanism(spec.factors[name], intervention, f"do({target})", spec.plugins)
    _check_effect(spec, target, replacement)
    _note_moved(spec, plain, view, name)
    own = plain["factors"][name].get("mechanism", {"name": "uniform"})
    done = plain.get("interventions", {})
    for each in [view] if view else plain["views"]:
        uses = plain["views"][each]["factors"]
        if name in uses:
            if not view and (replacement.whole or _role(uses[name]) == "constant"):
                done.pop(f"{each}.{name}", None)  # what was done in that view alone no longer holds
            shared = bool(view) and bool(unlike(spec, view, name))
            _intervene(uses, name, own, replacement, only_here=bool(view), shared=shared)
            _settle(uses, name, mixes="mixes" in plain["views"][each])
    if view:
        _release_content(spec, plain["views"][view]["factors"], name)
    else:
        plain["factors"][name]["mechanism"] = replaced(own, replacement)
        if replacement.whole:  # from outside the dataset: no case inside it holds against that
            for regime in plain.get("regimes", {}).values():
                for case in regime["cases"].values():
                    case.pop(name, None)
    earlier = done.get(target)
    if isinstance(earlier, dict) and isinstance(replacement.record, dict) and not replacement.whole:
        done[target] = {**earlier, **replacement.record}
    else:
        done[target] = replacement.record
    plain["interventions"] = done


def _note_moved(spec: Spec, plain: dict[str, Any], view: str, name: str) -> None:
    """Keep that a factor has noise of its own in every frame: a mechanism without earlier frames would not tell."""
    seeing = [each for each, declared in spec.views.items() if name in declared.factors]
    own = [each for each in seeing if spec.views[each].factors[name].mechanism is not None or each == view]
    where = [each for each in ([view] if view else ["", *own]) if _moves_in(spec, each, name)]
    moved = [f"{each}.{name}" if each else name for each in where]
    if moved:
        plain["factors"][name]["moved"] = list(dict.fromkeys([*spec.factors[name].moved, *moved]))


def _moves_in(spec: Spec, view: str, name: str) -> bool:
    """Whether the mechanism that a view has of a factor, for "" that of all views, takes earlier frames, or did."""
    moved, own = spec.factors[name].moved, spec.views[view].factors[name].mechanism if view else None
    uses = [spec.factors[name].mechanism, *(each.use for each in spec.replaced(name))] if own is None else [own]
    if (name if own is None else f"{view}.{name}") in moved:
        return True
    return any(use.lag or spec.is_temporal(use) for use in uses)


def _note_factual(spec: Spec, plain: dict[str, Any]) -> None:
    """Keep what the first intervention replaces: the condition of the spec is looked at in it."""
    if spec.given is not None and spec.given.factual is None:
        before = plain_spec(spec)
        plain["given"]["factual"] = {key: before[key] for key in ("factors", "views", "regimes") if key in before}


def _drop_idle_marks(plain: dict[str, Any], where: str) -> None:
    """Take `unshared` away where several interventions have left nothing to differ from."""
    changed = spec_from_dict(plain, where=where, stored=True)
    for view, declared in plain["views"].items():
        for name, use in declared["factors"].items():
            if isinstance(use, dict) and use.get("unshared") and not unlike(changed, view, name):
                del use["unshared"]


def _check_target(spec: Spec, target: str, view: str, name: str) -> None:
    if name not in spec.factors:
        raise UsageError(
            f"no factor is called {name!r}{hint(name, spec.factors)}",
            where=f"do({target})",
            got=repr(name),
            expected=listed(spec.factors),
            next_step="correct the name",
        )
    if view and (view not in spec.views or name not in spec.views[view].factors):
        views = ", ".join(each for each, declared in spec.views.items() if name in declared.factors)
        raise UsageError(
            f"no view {view!r} sees {name!r}",
            where=f"do({target})",
            got=repr(view),
            expected=f"one of {views}" if views else f"{name} alone: no view sees it",
            next_step=f"m3di ... --do {views.split(', ')[0] + '.' if views else ''}{name}=VALUE",
        )


def _check_effect(spec: Spec, target: str, replacement: Replacement) -> None:
    """Refuse a mechanism that would be recorded and change no sample. A value takes `change` away, and shows."""
    view, _, name = target.rpartition(".")
    seen = [each for each in ([view] if view else spec.views) if name in spec.views[each].factors]
    if seen and replacement.data.get("name") == "constant":
        return
    again = [each for each in seen if is_drawn_again(spec, each, name)]
    if view or again:
        hidden = len(again) == len(seen) and (bool(view) or not Reach(spec).views(name))
    else:  # after other interventions, nothing may follow it any more
        shown = {each for declared in spec.views.values() for each in declared.factors}
        hidden = not spec.interventions and shown.isdisjoint(spec.descendants([name]))
    if hidden:
        why = (
            f"{listed(again)} has a `change` of it that keeps nothing"
            if again
            else "no view sees it, or what follows it"
        )
        raise UsageError(
            f"the intervention on {name!r} would change no sample: {why}",
            where=f"do({target})",
            got=target,
            expected="a value, which takes the `change` away" if again else "a factor that a view shows",
            next_step=f"set a value, or take `change` of {name} away in the spec" if again else "let a view see it",
        )


def _role(use: Any) -> str:
    return str(use.get("role")) if isinstance(use, dict) else str(use)


def _settle(uses: dict[str, Any], name: str, *, mixes: bool) -> None:
    """What says `when` a factor changes, where an intervention has taken its change away: it says that nothing does."""
    use = uses[name]
    if not isinstance(use, dict) or "when" not in use:
        return
    if "change" in use or (mixes and use["role"] == "style" and "mechanism" not in use):
        return
    when = use.pop("when")
    others = any(isinstance(each, dict) and each.get("when") == when for each in uses.values())
    if not others and not mixes and _role(uses[when]) == "private":
        kept = uses[when] if isinstance(uses[when], dict) else {}
        uses[when] = {**kept, "role": "constant", "value": 0.0}


def _release_content(spec: Spec, uses: dict[str, Any], name: str) -> None:
    """Content of a view that descends from a factor which is another one there: it follows, so it is style there."""
    for each, use in uses.items():
        if each != name and _role(use) == "content" and name in shared_ancestors(spec, each):
            uses[each] = {**(use if isinstance(use, dict) else {}), "role": "style"}


def counterfactual(
    samples: Samples, interventions: Mapping[str, Intervention] | None = None, **by_name: Intervention
) -> Samples:
    """The same samples, had some mechanisms been others: all noise is kept. See `do` for the arguments.

    Example:
        >>> from m3di import counterfactual, load_spec, sample
        >>> factual = sample(load_spec("m3di"), "train", 4)
        >>> moved = counterfactual(factual, object_xpos="right")
        >>> bool((moved.views["image"]["object_shape"] == factual.views["image"]["object_shape"]).all())
        True
    """
    spec = do(samples.spec, interventions, **by_name)
    return sample(spec, samples.split, samples.n, seed=samples.seed, start=samples.start)


def permute_content(spec: Spec) -> Spec:
    """A spec whose samples have every view twice: as it is, and as `VIEW_permuted` with another sample's content.

    In the second one neighbours (samples 0 and 1, 2 and 3, ...) have changed places in all content factors, and
    nothing else is another: style keeps the values that the sample's own content has caused. There, content and style
    are independent, no matter the graph, so what an encoder of content alone tells of style is nothing.

    Raises:
        UsageError: The spec has frames, or no view has content that varies.
    """
    plain = plain_spec(spec)
    plain["pairs"] = {**plain.get("pairs", {}), "permuted_content": True}
    return spec_from_dict(plain, where="permuted content")


def _intervene(
    uses: dict[str, Any], name: str, own: dict[str, Any], replacement: Replacement, *, only_here: bool, shared: bool
) -> None:
    """Change how a view uses a factor, where the factor's own mechanism does not decide."""
    use = uses[name] if isinstance(uses[name], dict) else {"role": uses[name]}
    kept = {key: use[key] for key in ("recorded", "unshared", "when") if key in use}
    constant = {"role": "constant", "value": replacement.data.get("value")}
    is_constant = replacement.data.get("name") == "constant"
    if only_here:
        if is_constant:
            uses[name] = {**constant, **kept, **({"unshared": True} if shared else {})}
        elif use["role"] in APART:
            private = {"role": "private", "mechanism": replaced(use.get("mechanism", own), replacement)}
            uses[name] = {**private, **kept, **({"unshared": True} if shared else {})}
        else:  # style has the shared noise, which is kept
            style = {key: each for key, each in use.items() if key != "unshared"}
            uses[name] = {**style, "role": "style", "mechanism": replaced(use.get("mechanism", own), replacement)}
    elif use["role"] == "constant":
        uses[name] = {**(constant if is_constant else {"role": "private"}), **kept}
    elif "mechanism" in use:
        kept = {key: each for key, each in use.items() if key != "change" or not is_constant}
        uses[name] = {**kept, "mechanism": replaced(use["mechanism"], replacement)}
    elif "change" in use and is_constant:
        # What is set is set in every view: a disturbed copy would be another value than the one asked for.
        uses[name] = {key: each for key, each in use.items() if key != "change"}
