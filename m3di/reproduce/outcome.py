"""What a result of the paper comes to: numbers beside the paper's, and verdicts by rules stated beforehand."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from m3di.reproduce.scales import Judged

Word = Literal["holds", "does not hold", "not judged"]
TOLERANCE = 0.03  # beside the paper's standard deviation, which its tables give and this project has not recorded
FOUND = 0.7  # of the way from chance to 1
ABSENT = 0.1  # at most, of that way
PREDICTED = 0.2  # at least, of that way, where a style can be predicted in part
Found = TypeVar("Found")


def above_chance(value: float, chance: float | None) -> float:
    """How far a score is on the way from chance (0) to the best score (1); 0 where chance is the best score."""
    base = chance or 0.0
    return (value - base) / (1.0 - base) if base < 1.0 else 0.0 * value  # NaN stays NaN


def speaks_against(share: float, is_wrong: bool) -> bool:
    """Whether a score speaks against a rule; one that is no number does, whatever the rule: it shows nothing."""
    return is_wrong or not math.isfinite(share)


@dataclass(frozen=True)
class Line:
    """A number of a result.

    Args:
        setting: Which row, in words.
        quantity: Which column.
        values: Ours, one a seed.
        metric: "r2", "accuracy" or a loss.
        chance: What a probe reaches that has seen nothing.
        bound: The best score from content alone, where the causal graph gives one.
        paper: The paper's number, where its text or a table states one.
    """

    setting: str
    quantity: str
    values: tuple[float, ...]
    metric: str
    chance: float | None = None
    bound: float | None = None
    paper: float | None = None

    @property
    def mean(self) -> float:
        """Over seeds."""
        return statistics.fmean(self.values)

    @property
    def spread(self) -> float | None:
        """Standard deviation over seeds; None for one seed."""
        if len(self.values) < 2:
            return None
        return statistics.stdev(self.values) if all(map(math.isfinite, self.values)) else math.nan

    @property
    def difference(self) -> float | None:
        """Ours less the paper's."""
        return None if self.paper is None else self.mean - self.paper


@dataclass(frozen=True)
class Verdict:
    """What a rule says.

    Args:
        rule: In words, with its thresholds, as it was before anything was run.
        word: Whether it holds.
        why: The numbers that decide, or why it is not judged.
    """

    rule: str
    word: Word
    why: str


@dataclass(frozen=True)
class Pattern(Generic[Found]):
    """A rule about scores.

    Args:
        rule: In words, with its thresholds.
        misses: Returns what speaks against it, from the scores; nothing if it holds, None if it cannot be judged.
    """

    rule: str
    misses: Callable[[Found], list[str] | None]


@dataclass(frozen=True)
class ResultOutcome:
    """A result that was made.

    Args:
        lines: Its numbers.
        verdicts: One a rule.
    """

    lines: Sequence[Line]
    verdicts: Sequence[Verdict]

    @property
    def word(self) -> Word:
        """Of all rules that were judged; "not judged" if none was."""
        words = {verdict.word for verdict in self.verdicts}
        if "does not hold" in words:
            return "does not hold"
        return "holds" if "holds" in words else "not judged"

    @property
    def n_judged(self) -> int:
        """How many rules were judged."""
        return sum(verdict.word != "not judged" for verdict in self.verdicts)


def judge(patterns: Sequence[Pattern[Any]], found: Any, lines: Sequence[Line], judged: Judged) -> list[Verdict]:
    """Apply all rules.

    Args:
        patterns: Of the result.
        found: What they are about.
        lines: The numbers, to compare with the paper's.
        judged: What a verdict is about at this scale.
    """
    verdicts = [_of_pattern(pattern, found, judged) for pattern in patterns]
    if any(line.paper is not None for line in lines):
        verdicts.append(_of_numbers(lines, judged))
    return verdicts


def _of_pattern(pattern: Pattern[Any], found: Any, judged: Judged) -> Verdict:
    if judged == "nothing":
        return Verdict(pattern.rule, "not judged", "so few steps show no pattern")
    misses = pattern.misses(found)
    if misses is None:
        return Verdict(pattern.rule, "not judged", "there is no such score")
    return Verdict(pattern.rule, "does not hold" if misses else "holds", "; ".join(misses))


def _of_numbers(lines: Sequence[Line], judged: Judged) -> Verdict:
    rule = (
        f"Each number is within {TOLERANCE} of the paper's (its standard deviations would widen this; they are not "
        "recorded in this project)."
    )
    if judged != "numbers":
        return Verdict(rule, "not judged", "only at the paper's own settings")
    far = [
        f"{line.setting}, {line.quantity}: {line.difference:+.2f}"
        for line in lines
        if line.difference is not None and speaks_against(line.difference, abs(line.difference) > TOLERANCE)
    ]
    return Verdict(rule, "does not hold" if far else "holds", "; ".join(far))
