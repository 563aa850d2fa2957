"""Which views another value of a factor reaches: they show it, or what follows it there.

A view cuts it off where the factor is constant, or where its `change` draws a new value in every sample.
"""

from __future__ import annotations

from functools import cache

from m3di.latents.graph import arrows, change_keeps, shared_ancestors, takes_noise
from m3di.latents.mechanism_use import earlier
from m3di.latents.spec import Spec
from m3di.latents.subsets import always_chosen


def is_drawn_again(spec: Spec, view: str, name: str) -> bool:
    """Whether a view changes a factor in every sample and keeps nothing of what it was: that shows in no sample."""
    use = spec.views[view].factors.get(name)
    if use is None or use.role != "style" or use.change is None:
        return False
    if use.when is not None and not _is_sure(spec, view, use.when):
        return False
    return not change_keeps(spec, name, spec.factors[name], use.change)


def _is_sure(spec: Spec, view: str, when: str) -> bool:
    """Whether what says when a factor changes is a name in a subset that always has it."""
    member = spec.used_mechanism(view, when)
    if member is None or member.name != "member" or spec.replaced(when, view):
        return False
    (whole,) = member.parents
    subset = spec.used_mechanism(view, whole)
    if subset is None or subset.name != "subset" or spec.replaced(whole, view):
        return False
    return always_chosen(subset.parameters, int(member.parameters["number"]))


class Reach:
    """The views that factors of a sound spec reach.

    Args:
        spec: The spec.
    """

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self._is_fixed = cache(self._fixed)
        self._arrows = cache(lambda view: arrows(spec, view, unproven=True))

    def views(self, name: str) -> list[str]:
        """The views that another value of a factor reaches, by the mechanism that all views have, or by their own."""
        factor = self.spec.factors[name]
        if factor.type == "categorical" and factor.n == 1:
            return []  # there is no other value
        return [view for view in self.spec.views if self._shows(view, name)]

    def _shows(self, view: str, name: str) -> bool:
        seen = self.spec.views[view].factors
        if name in seen and not self._is_fixed(view, name):
            return True
        return not self._in(view, name).isdisjoint(seen)

    def _in(self, view: str, name: str) -> frozenset[str]:
        """The factors, seen or not, that are others in a view where one is another."""
        found: set[str] = set() if self._is_fixed(view, name) else {name}
        before = -1
        while len(found) > before:  # once more for what earlier frames cause
            before = len(found)
            found.update(
                each for each in self.spec.order if each not in found and self._follows(view, each, name, found)
            )
        return frozenset(found)

    def _follows(self, view: str, name: str, source: str, found: set[str]) -> bool:
        """Whether a factor is another one in a view where those that were found are."""
        use = self.spec.views[view].factors.get(name)
        if use is not None and use.when in found:
            return True
        mixed = self.spec.mixed(view, name)
        if mixed is not None:
            return any(name in self._in(each, source) for each in mixed)
        if self._is_fixed(view, name):
            return False
        return any(child == name and earlier(parent)[0] in found for parent, child in self._arrows(view))

    def _fixed(self, view: str, name: str) -> bool:
        """Whether a view shows nothing of the value that a factor has by its mechanism."""
        use = self.spec.views[view].factors.get(name)
        if use is not None and use.role == "constant":
            return True
        mixed = self.spec.mixed(view, name)
        if mixed is not None:
            return all(self._is_fixed(each, name) for each in mixed)
        return is_drawn_again(self.spec, view, name)


def varies(spec: Spec, name: str) -> bool:
    """Whether the shared value of a factor is another one from sample to sample."""
    return any(has_noise(spec, each) for each in shared_ancestors(spec, name))


def has_noise(spec: Spec, name: str) -> bool:
    """Whether a mechanism that gives a factor its values, anywhere, makes something of its noise."""
    return any(takes_noise(spec, spec.factors[name], use) for use in spec.mechanisms_of(name))
