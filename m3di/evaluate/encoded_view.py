"""The encoding of one view as a metric sees it: standardised and as it is, beside its factors and the resamples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from m3di.evaluate.bootstrap import Bootstrap
from m3di.evaluate.encoded import Encoded, FactorValues
from m3di.evaluate.r2 import is_constant
from m3di.evaluate.standardised import standardise

Floats = NDArray[np.float64]
T = TypeVar("T")
MAX_LABELS = 100  # DCI and the like skip a factor with more: forests take minutes, and a label has few samples


def varies(factor: FactorValues) -> bool:
    """Whether a factor has several values, to fit on and to score on: under an intervention it may have one."""
    return not any(is_constant(each) for each in (factor.fit, factor.test))


class EncodedView:
    """The encoding of one view.

    Args:
        encoded: Encodings and factors of a run.
        name: The view.
        resamples: Resamples of the test samples.
        seed: Seed of the metrics.

    Attributes:
        fit: [N, D] encodings that probes are fitted on, standardised by themselves.
        test: [M, D] encodings that are scored, standardised by those of the fit.
        raw: [M, D] the same, not standardised.
        factors: The factors to probe for.
        similarity: Similarity of the training loss.
    """

    def __init__(self, encoded: Encoded, name: str, resamples: Bootstrap, seed: int = 0) -> None:
        self.name, self.resamples, self.seed = name, resamples, seed
        self.fit, self.test = standardise(*encoded.encodings[name])
        self.raw = encoded.encodings[name][1]
        self.factors, self.similarity = encoded.factors[name], encoded.similarity
        self._all_factors = (encoded.all_factors or encoded.factors)[name]
        self._shared: dict[Callable[[EncodedView], Any], Any] = {}

    def shared(self, make: Callable[[EncodedView], T]) -> T:
        """Return `make(self)`, computed once: several metrics need it."""
        if make not in self._shared:
            self._shared[make] = make(self)
        found: T = self._shared[make]
        return found

    @property
    def numbers(self) -> list[FactorValues]:
        """Factors that are numbers."""
        return [each for each in self.factors if each.is_number]

    @property
    def labels(self) -> list[FactorValues]:
        """Factors that are labels."""
        return [each for each in self.factors if not each.is_number]

    @property
    def own(self) -> list[FactorValues]:
        """Factors of this view, without those of the view that it is a counterfactual of."""
        return [each for each in self.factors if each.view == self.name]

    @property
    def all_own(self) -> list[FactorValues]:
        """Factors of this view, also those that are not to be probed for."""
        return [each for each in self._all_factors if each.view == self.name]

    @property
    def content(self) -> list[FactorValues]:
        """The content that this view shows, also what is not to be probed for."""
        return [each for each in self.all_own if each.role == "content"]

    @property
    def varying(self) -> list[FactorValues]:
        """Own factors that vary and have at most 100 labels."""
        few = [each for each in self.own if each.is_number or len(np.unique(each.fit)) <= MAX_LABELS]
        return [each for each in few if varies(each)]
