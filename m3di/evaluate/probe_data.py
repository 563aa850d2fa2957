"""Samples for fitting and scoring probes: val and another split of one dataset, or of two."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from m3di.data import Multimodal3DIdent
from m3di.data.load.chosen import ALIASES
from m3di.errors import UsageError
from m3di.evaluate.encoded import FACTUAL, FactorValues
from m3di.evaluate.factors import factors_of
from m3di.latents import Spec
from m3di.learn.training.run_folder import read_config

FITTED, SCORED = "val", "test"
"""The splits that probes are fitted and scored on, where no other one is asked for."""
Root = str | os.PathLike[str]


@dataclass(frozen=True)
class ProbeData:
    """Datasets of an evaluation.

    Attributes:
        root: Folder or URL of the dataset that is scored.
        name: Its name in results: `factual`, or an intervention.
        fit_root: The dataset whose val split probes are fitted on; the same one if None.
        split: The split that is scored.
    """

    root: Root
    name: str = FACTUAL
    fit_root: Root | None = None
    split: str = SCORED

    def __post_init__(self) -> None:
        if self.fit_root in (None, self.root):
            self._refuse_fitted()

    def _refuse_fitted(self) -> None:
        if ALIASES.get(self.split, self.split) == FITTED:
            raise UsageError(
                f"probes are fitted on {FITTED!r}, and would be scored on what they were fitted on",
                where="split",
                got=self.split,
                expected="another split",
                next_step="name another split; or fit the probes on another dataset, with --fit",
            )

    @cached_property
    def test(self) -> Multimodal3DIdent:
        """The samples that are scored."""
        return Multimodal3DIdent(self.root, split=self.split)

    @cached_property
    def fit(self) -> Multimodal3DIdent:
        """The samples that probes are fitted on, in the same views."""
        found = Multimodal3DIdent(self.fit_root or self.root, split=FITTED, views=self.test.views)
        if found.fingerprint == self.test.fingerprint:  # the same dataset by another path, or a copy of it
            self._refuse_fitted()
        return found

    @property
    def spec(self) -> Spec:
        """The spec of the test samples."""
        return self.test.spec

    @property
    def views(self) -> tuple[str, ...]:
        """Observed views."""
        return self.test.views

    @property
    def fingerprint(self) -> str:
        """Identity of the dataset that is scored."""
        return self.test.fingerprint

    @property
    def samples(self) -> tuple[str, str, str]:
        """Which samples these are, see `Encoded`."""
        return self.fingerprint, self.split, self.fit.fingerprint

    @cached_property
    def factors(self) -> dict[str, tuple[FactorValues, ...]]:
        """For each view, the factors to probe its encoding for."""
        return factors_of(self.fit, self.test)

    def pairs(self, views: Iterable[str]) -> tuple[tuple[str, str], ...]:
        """Return pairs of views that show the same sample in the same world: not a view and its counterfactual."""
        worlds = {view: self.spec.observed[view] for view in views}
        return tuple(
            (one, other)
            for one, other in itertools.combinations(worlds, 2)
            if (worlds[one].do, worlds[one].frame, worlds[one].permuted)
            == (worlds[other].do, worlds[other].frame, worlds[other].permuted)
        )


def data_for(runs: Sequence[Path], root: Root, fit_root: Root | None = None, split: str = SCORED) -> ProbeData:
    """Return samples under the name that they have for these runs.

    `factual` are those of test of the dataset that all the runs were trained on, wherever it lies now; others have
    the name of their folder, of their split, or both.

    Args:
        runs: Folders of runs; files of encodings are of any dataset.
        root: The dataset that is scored.
        fit_root: The dataset that probes are fitted on; the same one if None.
        split: The split that is scored.

    Raises:
        M3diError: There is no dataset, or no such split.
    """
    known = [read_config(run).get("data", {}).get("fingerprint") for run in runs if run.suffix != ".npz"]
    fingerprint = Multimodal3DIdent(root, split=split).fingerprint if known else None
    own = [] if all(each == fingerprint for each in known) else [Path(root).name]
    name = " ".join([*own, *([] if split == SCORED else [split])]) or FACTUAL
    return ProbeData(root, name if fit_root is None else f"{name}, fitted on {Path(fit_root).name}", fit_root, split)
