"""Who acts on whom in each view: the arrows that the data obey, and what a view draws on its own.

The value of a factor in a view:

- `content`: the shared value, by shared parents and shared noise;
- `style`, and a factor that the view does not see: shared noise, but the parents as they are in this view;
- `private`: the view's own noise, and the parents as they are in this view;
- `constant`: always the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m3di.latents.factor import Factor
from m3di.latents.mechanism_use import MechanismUse, earlier
from m3di.latents.mechanisms import Mechanism
from m3di.latents.spec import Spec
from m3di.latents.varying import Parent

N_PROBES = 2048  # noise values; a dependence that shows in fewer than one of them is no arrow
N_VALUES = 24  # values of a parent that are tried, where there are more than N_ALL
N_ALL = 1024  # labels, and whole numbers, of which every one is tried
NEAR_END = 1e-6  # share of a range, so near to its ends are values tried: what an end alone gives is no sample's


def apart(spec: Spec, view: str) -> frozenset[str]:
    """Factors whose value in a view may be another than the shared one."""
    found: set[str] = set()
    uses = spec.views[view].factors
    earlier_ones = any(use.lag for name in spec.factors for use in spec.mechanisms_of(name))
    for name in spec.order * (len(spec.order) if earlier_ones else 1):  # what they cause may come before them
        use = uses.get(name)
        if use is not None and use.role == "content":
            continue
        inherits = not found.isdisjoint(spec.causes(name, view))
        if inherits or (use is not None and use.is_apart) or spec.mixed(view, name):
            found.add(name)
    return frozenset(found)


def followers(spec: Spec, view: str, name: str) -> list[str]:
    """The factors that a view sees and that follow one which it does not see, by its shared value."""
    if name in spec.views[view].factors:
        return []
    reached = {name}
    for other in spec.order:
        if other != name and not reached.isdisjoint(spec.causes(other, view)):
            reached.add(other)
    return [other for other in spec.views[view].factors if other in reached]


def unlike(spec: Spec, view: str, name: str) -> dict[str, list[str]]:
    """What disagrees with a view that has its own value of a factor.

    Returns:
        By view, what shows the shared value there: the factor itself, as content; or what follows it unseen.
    """
    found: dict[str, list[str]] = {}
    for other, declared in spec.views.items():
        if other != view:
            use = declared.factors.get(name)
            shown = [name] if use is not None and use.role == "content" else followers(spec, other, name)
            found |= {other: shown} if shown else {}
    return found


def is_shared_elsewhere(spec: Spec, view: str, name: str) -> bool:
    """Whether two or more other views have the shared value of a factor: it is content of those alone."""
    uses = [each.factors[name] for other, each in spec.views.items() if other != view and name in each.factors]
    return sum(not use.is_apart for use in uses) > 1


def shared_ancestors(spec: Spec, name: str) -> frozenset[str]:
    """A factor and all that its shared value depends on."""
    found, open_names = {name}, [name]
    while open_names:
        for parent in spec.causes(open_names.pop()):
            if parent not in found and parent in spec.factors:
                found.add(parent)
                open_names.append(parent)
    return frozenset(found)


def severed(spec: Spec, view: str) -> Iterator[tuple[str, str]]:
    """Content factors of a view, each with an ancestor that the view draws on its own: the arrow would do nothing.

    The view shows one value of the ancestor, and the content, shared by all views, follows another one.
    """
    own = {name for name, use in spec.views[view].factors.items() if use.is_apart} | apart(spec, view)
    for name, use in spec.views[view].factors.items():
        if use.role == "content":
            ancestors = shared_ancestors(spec, name) - {name}
            yield from ((name, ancestor) for ancestor in spec.order if ancestor in ancestors & own)


def arrows(spec: Spec, view: str, *, unproven: bool = False) -> frozenset[tuple[str, str]]:
    """Arrows (parent, child) of a view: those whose parent, all noise kept, makes a difference to the child.

    A mechanism of `strength` 0, a weight 0 or equal rows of a table give no arrow, nor does a value that is constant
    in the view or drawn again by its `change`, nor one that is mixed of two other views. What says `when` a factor
    changes gives one. A parent of an earlier frame is `NAME@-K`, also where a factor's own past causes it; parents
    of `first` count too. Mechanisms that are not installed here are taken at their word.

    Args:
        spec: The spec.
        view: Name of the view.
        unproven: Whether a parent without effect in all values tried counts, where other values might have one: before
            something is refused for want of an arrow.
    """
    found = set()
    for child, factor in spec.factors.items():
        use = spec.views[view].factors.get(child)
        if use is not None and use.when is not None:
            found.add((use.when, child))
        mechanism, replaced = spec.used_mechanism(view, child), spec.replaced(child, view)
        if mechanism is None or spec.mixed(view, child):
            continue
        change = use.change if use is not None and use.when is None else None
        if change is not None and not change_keeps(spec, child, factor, change):
            continue
        found.update((each.switch, child) for each in replaced if _differs(spec, factor, mechanism, each.use))
        framed = spec.sequence is not None and (spec.is_chain or spec.views[view].kind.has_frames)
        uses = [mechanism, *(case.use for case in replaced)]
        for each in [*uses, *([factor.first] if any(use.lag for use in uses) else [])]:
            parents = [parent for parent in dict.fromkeys(each.parents) if _matters(spec, factor, each, parent)]
            if unproven:
                parents += [parent for parent in each.parents if _may_matter(spec, each, parent)]
            found.update((parent, child) for parent in parents)
            if framed and spec.is_temporal(each) and _matters(spec, factor, each, child, own_past=True):
                found.add((f"{child}@-1", child))
    return frozenset(found)


def _may_matter(spec: Spec, use: MechanismUse, name: str) -> bool:
    """Whether a parent might have an effect by values not tried: in an expression, or a user's mechanism."""
    mechanism, parent = spec.mechanism(use.name), spec.factors[earlier(name)[0]]
    if mechanism is None or _is_enumerated(parent):
        return mechanism is None
    if not mechanism.function.__module__.startswith("m3di.latents.builtin."):
        return True
    return name in use.parents[mechanism.n_parents or 0 :]  # named by parameters


def _differs(spec: Spec, factor: Factor, one: MechanismUse, other: MechanismUse) -> bool:
    """Whether two mechanisms of a factor give different values, all noise and parents being the same."""
    generator, noise = np.random.default_rng(0), probe_noise(N_PROBES)
    names = dict.fromkeys((*one.parents, *other.parents))
    factors = {name: spec.factors[earlier(name)[0]] for name in names}
    labels = {**one.parameters, **other.parameters}
    drawn = {name: Parent(each, _tried(each, labels, generator), name) for name, each in factors.items()}
    results = []
    for use in (one, other):
        mechanism = spec.mechanism(use.name)
        if mechanism is None:
            return True
        parents = [drawn[name] for name in use.parents]
        with np.errstate(all="ignore"):
            results.append(mechanism.values(noise, parents, factor, use.parameters, strict=False))
    return not _is_same(*results)


def _matters(spec: Spec, factor: Factor, use: MechanismUse, name: str, *, own_past: bool = False) -> bool:
    """Whether a mechanism's value depends on one of its parents, or on the factor's own value one frame earlier."""
    mechanism = spec.mechanism(use.name)
    if mechanism is None:
        return True
    generator = np.random.default_rng(0)
    noise = probe_noise(N_PROBES)
    factors = {parent: spec.factors[earlier(parent)[0]] for parent in use.parents}
    drawn = {parent: _tried(each, use.parameters, generator) for parent, each in factors.items()}
    past = [name] if own_past else []
    factors |= dict.fromkeys(past, factor)
    first: NDArray[np.generic] | None = None
    for value in _distinct(factors[name]):
        drawn[name] = np.full(N_PROBES, value, dtype=factors[name].dtype)
        parents = [Parent(factors[parent], drawn[parent], parent) for parent in (*past, *use.parents)]
        with np.errstate(all="ignore"):  # the values of the parents may be such as never meet
            result = mechanism.values(noise, parents, factor, use.parameters, strict=False)
        if first is None:
            first = result
        elif not _is_same(first, result):
            return True
    return False


def change_keeps(spec: Spec, name: str, factor: Factor, change: MechanismUse) -> bool:
    """Whether a changed value still depends on what it was."""
    mechanism = spec.mechanism(change.name)
    if mechanism is None:
        return True
    if not takes_own_value(mechanism):
        return False
    noise = probe_noise(N_PROBES)
    results = (
        mechanism.values(
            noise, [Parent(factor, np.full(N_PROBES, value, dtype=factor.dtype), name)], factor, change.parameters
        )
        for value in _distinct(factor)
    )
    first = next(results)
    return any(not _is_same(first, each) for each in results)


def takes_noise(spec: Spec, factor: Factor, use: MechanismUse) -> bool:
    """Whether a mechanism gives other values by other noise, all parents being the same."""
    mechanism = spec.mechanism(use.name)
    if mechanism is None or mechanism.temporal:
        return True
    generator = np.random.default_rng(0)
    factors = {name: spec.factors[earlier(name)[0]] for name in use.parents}
    parents = [Parent(each, some_values(each, N_PROBES, generator), name) for name, each in factors.items()]
    with np.errstate(all="ignore"):
        one, other = (
            mechanism.values(noise, parents, factor, use.parameters, strict=False)
            for noise in (probe_noise(N_PROBES), np.roll(probe_noise(N_PROBES), N_PROBES // 3))
        )
    return not _is_same(one, other)


def _is_same(one: NDArray[np.generic], other: NDArray[np.generic]) -> bool:
    """Whether two results are equal, also where a parameter has no value."""
    return bool(np.array_equal(one, other, equal_nan=one.dtype.kind == "f" and other.dtype.kind == "f"))


def takes_own_value(mechanism: Mechanism) -> bool:
    """Whether a mechanism used as `change` gets the factor's value; one that takes none draws a new one."""
    return mechanism.temporal or mechanism.n_parents != 0 or bool(mechanism.varying)


def probe_noise(n: int) -> NDArray[np.float64]:
    """Noise to try a mechanism on: both ends of (0, 1), and all between."""
    return np.concatenate([[2.0**-53, 1.0 - 2.0**-53], (np.arange(n - 2) + 0.5) / (n - 2)])


def some_values(factor: Factor, n: int, generator: np.random.Generator) -> NDArray[np.generic]:
    """Values that a factor can have."""
    if np.isfinite(factor.bounds).all():
        return factor.from_unit(generator.random(n))
    return generator.normal(size=n)


def _tried(factor: Factor, parameters: Mapping[str, Any], generator: np.random.Generator) -> NDArray[np.generic]:
    """Values of a parent beside another one: half of the labels are those that tables name, be they few of many."""
    values = some_values(factor, N_PROBES, generator)
    named = [factor.names.index(each) for each in _keys(parameters) if each in factor.names] if factor.names else []
    if factor.type == "categorical" and named and factor.n > len(named):
        values[::2] = generator.choice(named, size=len(values[::2]))
    return values


def _keys(data: Any) -> Iterator[str]:
    """All keys of mappings in each other."""
    for key, each in data.items() if isinstance(data, Mapping) else ():
        yield str(key)
        yield from _keys(each)
    for each in data if isinstance(data, (list, tuple)) else ():
        yield from _keys(each)


def _is_enumerated(factor: Factor) -> bool:
    """Whether every value of a factor is tried."""
    if factor.type == "continuous":
        return False
    low, high = factor.bounds
    return high - low < N_ALL


def _distinct(factor: Factor) -> NDArray[np.generic]:
    """Values of a factor that are tried, the ends first: every one of few, else evenly in its range."""
    low, high = factor.bounds
    if _is_enumerated(factor):
        return np.roll(np.arange(int(low), int(high) + 1), 1)
    if not np.isfinite(factor.bounds).all():
        return np.linspace(-3.0, 3.0, N_VALUES)
    inner = (np.arange(N_VALUES) + 0.5) / N_VALUES
    return factor.from_unit(np.concatenate([[NEAR_END, 1.0 - NEAR_END], inner]))
