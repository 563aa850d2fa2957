"""Values of factors in views, worlds and frames: each is computed when it is asked for, once."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m3di.errors import M3diError
from m3di.latents.conditions import SHARED
from m3di.latents.expressions import UndefinedError
from m3di.latents.graph import apart, takes_own_value
from m3di.latents.mechanism_use import MechanismUse, earlier
from m3di.latents.noise import uniforms_at
from m3di.latents.permuting import permuted_factors
from m3di.latents.spec import Observed, Spec
from m3di.latents.supports import NoValueError, first_outside, support, value_problem
from m3di.latents.varying import Parent


@dataclass(frozen=True)
class CausalWorld:
    """Where a value is taken: as it is, with one factor drawn again, or in a later frame."""

    do: str | None = None
    frame: int = 0


FACTUAL = CausalWorld()


class Evaluation:
    """Evaluates factors lazily, each (world, view, factor) once."""

    def __init__(
        self,
        spec: Spec,
        split: str,
        seed: int,
        indices: NDArray[np.int64],
        attempts: NDArray[np.int64] | None = None,
    ) -> None:
        self.spec, self.split, self.seed, self.indices, self.attempts = spec, split, seed, indices, attempts
        self.n = len(indices)
        self.burn_in = spec.sequence.burn_in if spec.sequence is not None else 0
        self._known: dict[tuple[CausalWorld, str, str], NDArray[Any]] = {}
        self._affected = cache(self._affected_in)
        self._apart = {view: apart(spec, view) for view in spec.views}

    def observe(self, observed: Observed, names: Set[str]) -> dict[str, NDArray[Any]]:
        if observed.permuted:
            return self._observe_permuted(observed, names)
        world = CausalWorld(observed.do, observed.frame + self.burn_in)
        return {name: self.value(world, observed.declared, name) for name in observed.view.factors if name in names}

    def _observe_permuted(self, observed: Observed, names: Set[str]) -> dict[str, NDArray[Any]]:
        """Sample 2k has the content of sample 2k + 1 and the other way round; everything else is its own.

        That is a permutation without fixed points of any even number of samples, and it depends on neither that
        number nor the shard. What restates or records content goes with it; a style that the content causes stays as
        the sample's own content had it.
        """
        neighbours, permuted = np.arange(self.n) ^ 1, permuted_factors(self.spec, observed.declared)
        values = {name: self.value(FACTUAL, observed.declared, name) for name in observed.view.factors if name in names}
        return {name: each[neighbours] if name in permuted else each for name, each in values.items()}

    def in_frame(self, frame: int, view: str, name: str) -> NDArray[Any]:
        """Factual values of a factor in a view, in a frame if the view has frames; -1 is the last that is not shown."""
        framed = view == SHARED or self.spec.is_chain or self.spec.views[view].kind.has_frames
        return self.value(CausalWorld(frame=self.burn_in + (frame if framed else min(frame, 0))), view, name)

    def pass_burn_in(self, wanted: Mapping[str, Set[str]]) -> None:
        """Draw the frames that are not shown, in their order; only those that later ones ask for are kept."""
        lag = max((1, *(use.lag for name in self.spec.factors for use in self.spec.mechanisms_of(name))))
        for frame in range(self.burn_in):
            for view, names in wanted.items():
                for name in names:
                    self.value(CausalWorld(frame=frame), view, name)
            for key in [key for key in self._known if 0 < key[0].frame <= frame - lag]:
                del self._known[key]

    def value(self, world: CausalWorld, view: str, name: str) -> NDArray[Any]:
        if name not in self._affected(world):
            world = FACTUAL
        key = (world, view, name)
        if key not in self._known:
            self._known[key] = self._evaluate(world, view, name)
        return self._known[key]

    def _affected_in(self, world: CausalWorld) -> frozenset[str]:
        """The factors whose values in a world may differ from the factual ones."""
        moving = [name for name in self.spec.factors if self.spec.moves(name)] if world.frame else []
        return self.spec.descendants([*moving, *([world.do] if world.do else [])])

    def _evaluate(self, world: CausalWorld, view: str, name: str) -> NDArray[Any]:
        factor = self.spec.factors[name]
        if view == SHARED:
            return self._draw(world, SHARED, SHARED, name, factor.mechanism)
        use = self.spec.views[view].factors.get(name)
        if use is None:
            # Not seen: it passes on what the view's own values cause, as style does.
            return self._draw(world, SHARED, view if name in self._apart[view] else SHARED, name, factor.mechanism)
        if use.role == "content":
            return self.value(world, SHARED, name)
        if use.role == "constant":
            return np.full(self.n, use.value, dtype=factor.dtype)
        if use.role == "private":
            return self._draw(world, view, view, name, use.mechanism or factor.mechanism)
        mixed = self.spec.mixed(view, name)
        if mixed is not None:
            value = self.value(world, mixed[0], name)
            return self._where(world, view, use.when, self.value(world, mixed[1], name), value) if use.when else value
        value = self._draw(world, SHARED, view, name, use.mechanism or factor.mechanism)
        if use.change is None:
            return value
        u = self._noise(name, f"{view} change")
        mechanism = self.spec.mechanism(use.change.name)
        own = [Parent(factor, value, name)] if mechanism is None or takes_own_value(mechanism) else []
        changed = self._apply(use.change, name, u, own)
        return self._where(world, view, use.when, changed, value) if use.when else changed

    def _where(
        self, world: CausalWorld, view: str, when: str, changed: NDArray[Any], kept: NDArray[Any]
    ) -> NDArray[Any]:
        """Values as they are changed where a factor of the view has its second value, and as they were elsewhere."""
        return np.where(self.value(world, view, when) == 1, changed, kept)

    def _draw(self, world: CausalWorld, noise: str, view: str, name: str, use: MechanismUse) -> NDArray[Any]:
        """A factor's value by its mechanism, with the noise of one view and the parents of one view.

        Where a case of a regime holds, by the mechanism that replaces it there, with the same noise.
        """
        if name == world.do:
            return self._apply(MechanismUse(name="uniform"), name, self._noise(name, f"{noise} do"), [])
        sequence = self.spec.sequence
        is_own = use is self.spec.factors[name].mechanism
        is_fresh = use.lag > 0 or (sequence is not None and name in sequence.redrawn)
        is_fresh = is_fresh or (name if is_own else f"{view}.{name}") in self.spec.factors[name].moved
        replaced = self.spec.replaced(name, view) if is_own else ()
        if not replaced:
            return self._apply(*self._inputs(world, noise, view, name, use, is_fresh=is_fresh))
        is_fresh = is_fresh or self.spec.is_temporal(use)
        holding = np.zeros(self.n, dtype=np.int64)
        for number, each in enumerate(replaced, 1):
            holding[self.value(world, view, each.switch) == each.value] = number
        values = np.empty(self.n, dtype=self.spec.factors[name].dtype)
        for number, one in enumerate((use, *(each.use for each in replaced))):
            # Asked for in every frame, also where it holds in no sample: later frames build on earlier ones.
            inputs = self._inputs(world, noise, view, name, one, is_fresh=is_fresh or one.lag > 0)
            rows = np.flatnonzero(holding == number)
            if len(rows):
                values[rows] = self._apply(*inputs, rows=rows)
        return values

    def _inputs(
        self, world: CausalWorld, noise: str, view: str, name: str, use: MechanismUse, *, is_fresh: bool
    ) -> tuple[MechanismUse, str, NDArray[np.float64], list[Parent]]:
        """What a mechanism gets for a factor: the mechanism that holds in this frame, the factor, noise and parents."""
        if use.lag > world.frame:
            use = self.spec.factors[name].first
        missing = [parent for parent in use.causes if parent not in self.spec.factors]
        if missing:
            raise M3diError(
                f"the parent {missing[0]!r} of factor {name!r} is not there",
                where=f"spec {self.spec.name!r}",
                expected=", ".join(self.spec.factors),
            )
        parents = [self._parent(world, view, parent) for parent in use.parents]
        if world.frame and self.spec.is_temporal(use):
            before = self.value(CausalWorld(world.do, world.frame - 1), view, name)
            u = self._noise(name, f"{noise} frame {world.frame}")
            return use, name, u, [Parent(self.spec.factors[name], before, name), *parents]
        own = f"{noise} frame {world.frame}" if world.frame and is_fresh else noise
        return use, name, self._noise(name, own), parents

    def _parent(self, world: CausalWorld, view: str, parent: str) -> Parent:
        """A parent in the same frame, or in an earlier one."""
        name, lag = earlier(parent)
        return Parent(self.spec.factors[name], self.value(CausalWorld(world.do, world.frame - lag), view, name), parent)

    def _noise(self, name: str, view: str) -> NDArray[np.float64]:
        return uniforms_at(self.seed, self.split, name, view, indices=self.indices, attempts=self.attempts)

    def _told(self, row: int, rows: NDArray[np.int64] | None) -> str:
        index = self.indices[row if rows is None else rows[row]]
        return f"{'sequence' if self.spec.is_chain else 'sample'} {index} of {self.split}"

    def _apply(
        self,
        use: MechanismUse,
        name: str,
        u: NDArray[np.float64],
        parents: list[Parent],
        rows: NDArray[np.int64] | None = None,
    ) -> NDArray[Any]:
        """Values by a mechanism, for all samples or for those in some rows."""
        if rows is not None:
            u, parents = u[rows], [replace(each, values=each.values[rows]) for each in parents]
        factor, mechanism = self.spec.factors[name], self.spec.mechanism(use.name)
        where = f"factor {name!r} of spec {self.spec.name!r}"
        if mechanism is None:
            raise M3diError(
                f"the mechanism {use.name!r} is not installed here",
                where=where,
                expected=", ".join(self.spec.plugins) or "a package that registers it",
                next_step="the dataset came with its plugin: look at it, then m3di --plugin DATASET COMMAND ..."
                if self.spec.plugins
                else "install the package that registers it, or import the module that does",
            )
        try:
            values = mechanism.values(u, parents, factor, use.parameters)
        except M3diError:
            raise
        except UndefinedError as error:
            raise NoValueError(
                f"the mechanism {use.name!r} has a parameter without a value",
                where=f"{where}, {self._told(error.row or 0, rows)}",
                got=error.part,
                expected=error.expected,
                next_step="keep it within its limits: clip(x, low, high), max(x, least), or a table by label",
            ) from None
        except Exception as error:
            raise M3diError(
                f"the mechanism {use.name!r} failed",
                where=where,
                got=f"{type(error).__name__}: {error}"[:300],
                next_step="correct the mechanism, or its parameters",
            ) from error
        problem = value_problem(factor, values, len(u))
        if problem:
            row = first_outside(factor, values)
            raise NoValueError(
                f"the mechanism {use.name!r} gave what is no value of the factor",
                where=where if row is None else f"{where}, {self._told(row, rows)}",
                got=problem,
                expected=support(factor),
                next_step="correct the mechanism, its parameters or the factor's range",
            )
        return values
