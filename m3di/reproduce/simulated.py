"""Results of the numerical simulation: tables 1 and 4, figures 5, 6, 7a and 8."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from m3di.learn.choices import Device
from m3di.report.runs.loss_curves import find_elbow
from m3di.report.simulation.curves import save_figure
from m3di.report.simulation.tables import Cell, Finished, Row, save_table, summarise
from m3di.reproduce.members import Member, Simulating
from m3di.reproduce.outcome import (
    ABSENT,
    FOUND,
    PREDICTED,
    Line,
    Pattern,
    ResultOutcome,
    above_chance,
    judge,
    speaks_against,
)
from m3di.reproduce.scales import ReproductionScale
from m3di.simulate import RecipeRun, members, parse_scale
from m3di.simulate.checkpoint import RESULTS_NAME
from m3di.system.files import read_json

Rows = Sequence[Row]
LOG_EVERY, CHECKPOINT_EVERY = 100, 500  # progress is told, and a stop loses little


def runs_of(recipe: str, scale: ReproductionScale, device: Device = "auto") -> list[RecipeRun]:
    """The simulations of a recipe at a scale; those of figure 8 are those of table 1."""
    shrunk = parse_scale(scale.simulations)
    changes = {"log_every": LOG_EVERY, "checkpoint_every": CHECKPOINT_EVERY, "device": device}
    return members(recipe, shrunk, **{**changes, **scale.changes.get(recipe, {})})


@dataclass(frozen=True)
class SimulatedResult:
    """A table or figure of the simulation.

    Args:
        name: Such as "table1a".
        title: In words.
        stated: What the paper states, in words.
        recipe: Of `m3di.simulate.recipes`.
        setting: Only rows of this setting; all if empty.
        patterns: Rules about its rows.
    """

    name: str
    title: str
    stated: str
    recipe: str
    setting: str
    patterns: tuple[Pattern[Rows], ...]

    def members(self, scale: ReproductionScale) -> list[Member]:
        """What it needs."""
        return [Simulating(run.config) for run in self._runs(scale)]

    def _runs(self, scale: ReproductionScale) -> list[RecipeRun]:
        runs = runs_of(self.recipe, scale)
        return [run for run in runs if not self.setting or run.label["setting"] == self.setting]

    def _rows(self, scale: ReproductionScale, out: Path) -> list[Row]:
        finished = [
            Finished(run.label, read_json(out / Simulating(run.config).key / RESULTS_NAME)) for run in self._runs(scale)
        ]
        rows = summarise(self.recipe, finished)
        if self.recipe != "figure8":
            return rows
        # What style was before the intervention is judged too, and not drawn.
        return [_with_observed(row, seen) for row, seen in zip(rows, summarise("", finished), strict=True)]

    def outcome(self, scale: ReproductionScale, out: Path) -> ResultOutcome:
        """Make it of finished members."""
        rows = self._rows(scale, out)
        lines = [line for row in rows for line in _lines(row)]
        return ResultOutcome(lines, judge(self.patterns, rows, lines, scale.judged))

    def draw(self, scale: ReproductionScale, out: Path, folder: Path) -> list[Path]:
        """Write its table and its figure into a folder; the pictures of a page."""
        rows, path = self._rows(scale, out), folder / self.name
        save_table(rows, path, title=self.title)
        shown = [replace(row, cells={name: c for name, c in row.cells.items() if name != OBSERVED}) for row in rows]
        save_figure(self.recipe, shown, path)
        return [path.with_suffix(".png")]


OBSERVED = "style, as observed"


def _with_observed(row: Row, observed: Row) -> Row:
    style = observed.cells.get("style")
    return row if style is None else replace(row, cells={**row.cells, OBSERVED: replace(style, paper=None)})


def _lines(row: Row) -> list[Line]:
    return [
        Line(told(row), name, cell.values, cell.metric, chance=cell.chance, paper=cell.paper)
        for name, cell in row.cells.items()
    ]


def told(row: Row) -> str:
    """A row's setting in words."""
    label = row.label
    if "setting" in label:
        kinds = [name for name in ("statistical", "causal") if label[name]]
        return f"pi {label['style_change_prob']:g}, {' and '.join(kinds) or 'no'} dependence"
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in label.items())


def _share(cell: Cell) -> float:
    return above_chance(cell.mean, cell.chance)


def _those(rows: Rows, block: str, is_wrong: Callable[[Row, float], bool]) -> list[str] | None:
    """Rows of a block whose share (from chance to 1) is wrong; None if no row has the block."""
    shares = [(row, _share(row.cells[block])) for row in rows if block in row.cells]
    if not shares:
        return None
    return [f"{told(row)}: {block} {share:.2f}" for row, share in shares if speaks_against(share, is_wrong(row, share))]


def _is_dependent(row: Row) -> bool:
    return bool(row.label.get("statistical") or row.label.get("causal"))


def _is_both(row: Row) -> bool:
    return bool(row.label.get("statistical") and row.label.get("causal"))


CONTENT_FOUND = Pattern[Rows](
    f"Content is found in every row: at least {FOUND} of the way from chance to 1.",
    lambda rows: _those(rows, "content", lambda row, share: share < FOUND),
)
MODALITY_DISCARDED = Pattern[Rows](
    f"What one modality alone has is discarded in every row: at most {ABSENT} of the way from chance to 1.",
    lambda rows: _those(rows, "modality", lambda row, share: share > ABSENT),
)
STYLE_DISCARDED = Pattern[Rows](
    f"Style that is independent of content is discarded: at most {ABSENT} of the way from chance to 1.",
    lambda rows: _those([row for row in rows if not _is_dependent(row)], "style", lambda row, share: share > ABSENT),
)
STYLE_PREDICTED = Pattern[Rows](
    f"Style is predicted in part in every row with dependence: at least {PREDICTED}.",
    lambda rows: _those([row for row in rows if _is_dependent(row)], "style", lambda row, share: share < PREDICTED),
)


def _content_left(rows: Rows) -> list[str] | None:
    return _those([row for row in rows if not _is_dependent(row)], "content", lambda row, share: share > ABSENT)


def _permuted_seen(rows: Rows) -> list[str] | None:
    return _those([row for row in rows if not _is_both(row)], "content'", lambda row, share: share < FOUND)


def _permuted_first(rows: Rows) -> list[str] | None:
    return _those(rows, "content'", lambda row, share: not share > _share(row.cells["content"]))


def _cause_cut(rows: Rows) -> list[str] | None:
    own = [row for row in rows if row.label.get("causal") and not row.label.get("statistical")]
    return _those(own, "style", lambda row, share: not _is_halved(_share(row.cells[OBSERVED]), share))


def _is_halved(before: float, after: float) -> bool:
    """What could not be predicted before cannot be lost."""
    return before > ABSENT and after <= before / 2


def _statistical_stays(rows: Rows) -> list[str] | None:
    own = [row for row in rows if row.label.get("statistical") and not row.label.get("causal")]
    return _those(own, "style", lambda row, share: share < PREDICTED)


INTERVENTIONS = (
    Pattern[Rows](f"Without dependence, content before the permutation is gone: at most {ABSENT}.", _content_left),
    Pattern[Rows](f"Permuted content is found unless both dependences are there: at least {FOUND}.", _permuted_seen),
    Pattern[Rows]("In every row permuted content is predicted better than content before it.", _permuted_first),
    Pattern[Rows](
        f"Style that content causes loses at least half of what could be predicted, which is above {ABSENT}.",
        _cause_cut,
    ),
    Pattern[Rows](f"Style of statistical dependence alone stays: at least {PREDICTED}.", _statistical_stays),
    MODALITY_DISCARDED,
)


def _found_from_its_size_on(rows: Rows) -> list[str] | None:
    """Encodings at least as large as the content hold it; the number of content dimensions is where it is found."""
    shares = {int(row.label["encoding_size"]): _share(row.cells["content"]) for row in rows}
    largest = max(shares)
    n_content = largest // 2  # the recipe goes to twice the content
    return [
        f"size {size}: {share:.2f}"
        for size, share in shares.items()
        if size >= n_content and speaks_against(share, share < FOUND)
    ]


def _elbow_at_content(rows: Rows) -> list[str] | None:
    losses = {int(row.label["encoding_size"]): row.cells["loss"].mean for row in rows}
    elbow, n_content = find_elbow(list(losses), list(losses.values())), max(losses) // 2
    if elbow is not None and elbow > min(losses) and abs(elbow - n_content) <= 1:
        return []
    return [f"elbow {'not found' if elbow is None else f'at {elbow}'}, content has {n_content} dimensions"]


ELBOW = (
    Pattern[Rows](
        f"Content is found by every encoding that is at least as large as it: {FOUND} or more.", _found_from_its_size_on
    ),
    Pattern[Rows](
        "The loss has an elbow (Kneedle) at the number of content dimensions, give or take one, and not at the "
        "smallest size.",
        _elbow_at_content,
    ),
)
