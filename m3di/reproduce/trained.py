"""Results of encoders trained on images: figures 3, 7b, 10 and 11."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from m3di.evaluate import gather, over_seeds, read_results
from m3di.evaluate.results import with_columns
from m3di.evaluate.runs import RESULTS
from m3di.learn.training.config import TrainConfig
from m3di.report.runs.ablation import ablation_figure
from m3di.report.runs.chosen_scores import Estimators, chosen_scores
from m3di.report.runs.heat_map import heat_map
from m3di.report.runs.loss_curves import MIN_SIZES, elbow_figure, find_elbow
from m3di.report.style import save_figure
from m3di.reproduce.members import Member, Rendering, Training
from m3di.reproduce.outcome import (
    ABSENT,
    FOUND,
    Line,
    Pattern,
    ResultOutcome,
    Verdict,
    above_chance,
    judge,
    speaks_against,
)
from m3di.reproduce.scales import ReproductionScale

Scores = Sequence[Mapping[str, Any]]  # means over seeds, see `over_seeds`
ESTIMATORS = Estimators()
LEAST_BOUND = 0.05  # a style with a smaller bound is independent of content, for all that matters here


def rendering_of(name: str, scale: ReproductionScale) -> Rendering:
    """The dataset of an experiment."""
    experiment = scale.experiments[name]
    return Rendering(name, experiment.spec, experiment.n_samples, scale.size_px, scale.quality)


def trainings_of(name: str, scale: ReproductionScale) -> list[Training]:
    """One training for each encoding size and seed of an experiment."""
    experiment, data = scale.experiments[name], rendering_of(name, scale)
    return [
        Training(
            data,
            {"encoding_size": size, "seed": seed},
            TrainConfig(**{**experiment.settings, "encoding_size": size, "seed": seed}),
            scale.probes,
        )
        for size in experiment.encoding_sizes
        for seed in range(scale.n_seeds)
    ]


@dataclass(frozen=True)
class TrainedResult:
    """A figure of encoders trained on images.

    Args:
        name: Such as "figure3".
        title: In words.
        stated: What the paper states, in words.
        experiments: Names of datasets.
        shows: "scores" or "loss".
        patterns: Rules about the scores of each dataset.
    """

    name: str
    title: str
    stated: str
    experiments: tuple[str, ...]
    shows: str
    patterns: tuple[Pattern[Scores], ...]

    def members(self, scale: ReproductionScale) -> list[Member]:
        """What it needs."""
        found: list[Member] = []
        for name in self.experiments:
            found += [rendering_of(name, scale), *trainings_of(name, scale)]
        return found

    def outcome(self, scale: ReproductionScale, out: Path) -> ResultOutcome:
        """Make it of finished members."""
        lines: list[Line] = []
        verdicts: list[Verdict] = []
        for name in self.experiments:
            rows, scores = _scores(name, scale, out)
            own = self._lines(name, rows, scores)
            lines += own
            for verdict in judge(self.patterns, _with_missing(rows, scores), own, scale.judged):
                rule = ": ".join([*_distinct(name, self.experiments), verdict.rule])
                verdicts.append(replace(verdict, rule=rule))
        return ResultOutcome(lines, verdicts)

    def draw(self, scale: ReproductionScale, out: Path, folder: Path) -> list[Path]:
        """Write its figures into a folder; the pictures of a page."""
        files: list[Path] = []
        for name in self.experiments:
            for kind, figure in self._figures(_scores(name, scale, out)[1]).items():
                paths = save_figure(figure, folder, "-".join([self.name, *_distinct(name, self.experiments), kind]))
                files += [path for path in paths if path.suffix == ".png"]
        return files

    def _figures(self, scores: Scores) -> dict[str, Figure]:
        if self.shows == "loss":
            return {"loss": elbow_figure(scores)[0]}
        several = len({row["encoding_size"] for row in scores}) > 1
        figures = {"scores": ablation_figure(scores, ESTIMATORS)} if several else {}
        return {**figures, "map": heat_map(scores, ESTIMATORS)}

    def _lines(self, name: str, rows: Scores, scores: Scores) -> list[Line]:
        """Scores of the largest encodings, or the loss of every size."""
        if self.shows == "loss":
            sizes = sorted({row["encoding_size"] for row in scores})
            losses = {size: _losses(rows, size) for size in sizes}
            return [
                Line(f"encoding size {size}", "validation loss", each, "loss") for size, each in losses.items() if each
            ]
        largest = _of_largest(scores)
        return [
            Line(
                ", ".join([*_distinct(name, self.experiments), f"encoding size {row['encoding_size']}", row["view"]]),
                f"{row['factor'].partition('.')[2].replace('_', ' ')} ({row['role']})",
                _values(rows, row),
                row["metric"],
                chance=row["chance"],
                bound=row["bound"],
            )
            for row in largest
            if row["mean"] is not None
        ]


def _scores(name: str, scale: ReproductionScale, out: Path) -> tuple[Scores, Scores]:
    """Scores of all trainings of an experiment, and their means over seeds."""
    trainings = trainings_of(name, scale)
    table = gather(with_columns(read_results(out / each.key / RESULTS), each.values) for each in trainings)
    return table.to_pylist(), over_seeds(table).to_pylist()


def _with_missing(rows: Scores, scores: Scores) -> Scores:
    """The means, and NaN where a seed's score is no number: results store it as null, and means leave it out."""
    missing = {_key(row) for row in rows if row["value"] is None}
    return [{**score, "mean": math.nan} if _key(score) in missing else score for score in scores]


def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("encoding_size", "view", "factor", "estimator", "metric"))


def _distinct(name: str, names: Sequence[str]) -> list[str]:
    return [name] if len(names) > 1 else []


def _values(rows: Scores, score: Mapping[str, Any]) -> tuple[float, ...]:
    return _numbers([row for row in rows if _key(row) == _key(score)])


def _losses(rows: Scores, size: int) -> tuple[float, ...]:
    own = [row for row in rows if row["metric"] == "val_loss" and row["encoding_size"] == size]
    return _numbers(own)


def _numbers(rows: Scores) -> tuple[float, ...]:
    """The values of seeds, without those where a score was not defined: means over seeds leave them out too."""
    return tuple(float(row["value"]) for row in rows if row["value"] is not None)


def _of_largest(scores: Scores) -> Scores:
    largest = max(row["encoding_size"] for row in scores)
    return [row for row in chosen_scores(scores, ESTIMATORS) if row["encoding_size"] == largest]


def _those(scores: Scores, role: str, is_wrong: Callable[[Mapping[str, Any], float], bool]) -> list[str] | None:
    """Factors of a role whose share (from chance to 1) is wrong; None if there are none of the role."""
    own = [row for row in scores if row["role"] == role]
    if not own:
        return None
    shares = [(row, above_chance(row["mean"], row["chance"])) for row in own]
    return [
        f"size {row['encoding_size']}, {row['factor']} from {row['view']}: {share:.2f}"
        for row, share in shares
        if speaks_against(share, is_wrong(row, share))
    ]


def _content_missed(scores: Scores) -> list[str] | None:
    return _those(_of_largest(scores), "content", lambda row, share: share < FOUND)


def _private_kept(scores: Scores) -> list[str] | None:
    return _those(chosen_scores(scores, ESTIMATORS), "private", lambda row, share: share > _bound(row) + ABSENT)


def _bound(row: Mapping[str, Any]) -> float:
    """Where the best prediction from content is, from chance (0) to 1."""
    return 0.0 if row["bound"] is None else max(0.0, above_chance(row["bound"], row["chance"]))


def _style_missed(scores: Scores) -> list[str] | None:
    own = [row for row in _of_largest(scores) if _bound(row) >= LEAST_BOUND]
    return _those(own, "style", lambda row, share: share < _bound(row) / 2)


def _style_kept(scores: Scores) -> list[str] | None:
    own = [row for row in _of_largest(scores) if _bound(row) < LEAST_BOUND]
    return _those(own, "style", lambda row, share: share > ABSENT)


def _no_elbow(scores: Scores) -> list[str] | None:
    own = sorted((row for row in scores if row["metric"] == "val_loss"), key=lambda row: row["encoding_size"])
    sizes, losses = [row["encoding_size"] for row in own], [row["mean"] for row in own]
    if not all(map(math.isfinite, losses)):
        return ["elbow: none, a loss is missing"]
    if len(sizes) < MIN_SIZES:
        return None
    elbow = find_elbow(sizes, losses)
    return [] if elbow is not None and min(sizes) < elbow < max(sizes) else [f"elbow: {elbow or 'none'}"]


CONTENT_FOUND = Pattern[Scores](
    f"The largest encodings hold all content: at least {FOUND} of the way from chance to 1.", _content_missed
)
PRIVATE_DISCARDED = Pattern[Scores](
    f"What one view alone has is discarded at every size: at most {ABSENT} of the way from chance to 1 above what "
    "content tells.",
    _private_kept,
)
STYLE_OF_CONTENT = Pattern[Scores](
    f"Style that depends on content (which tells at least {LEAST_BOUND} of the way from chance to 1) is predicted by "
    "the largest encodings: at least half of what content tells.",
    _style_missed,
)
STYLE_INDEPENDENT = Pattern[Scores](
    f"Style that is independent of content (which tells less than {LEAST_BOUND} of the way from chance to 1) is "
    f"discarded by the largest encodings: at most {ABSENT} of the way from chance to 1.",
    _style_kept,
)
LOSS_ELBOW = Pattern[Scores](
    "The validation loss has an elbow (Kneedle) between the smallest and the largest size.", _no_elbow
)
