"""The causal graph of a spec, one panel a view: what causes what, and which factors the view sees in which role."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from m3di.errors import UsageError
from m3di.latents import Spec, arrows
from m3di.latents.changing import choosing_factors
from m3di.system.disk import disk_errors

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import FancyArrowPatch

# Okabe and Ito's palette: told apart by colour-blind readers as well.
ROLE_COLORS = {
    "content": "#56B4E9",
    "style": "#E69F00",
    "private": "#009E73",
    "constant": "#BBBBBB",
    "not seen": "#FFFFFF",
}
COLUMN_WIDTH_IN, ROW_HEIGHT_IN = 2.3, 0.42
HALF_BOX_IN, LETTER_IN = 0.13, 0.066  # half of the height of a name's frame, and the width of a letter of 8 points
N_STEPS = 60  # points at which an arrow is looked at
COLUMN_FROM = 3
"""So many views stand below each other."""
SOMETIMES = (0, (3, 1.5))
"""Line of the frame of a factor that changes in some samples."""
PAST = "\N{CLOCKWISE OPEN CIRCLE ARROW}"
"""Behind the name of a factor that its own past causes."""
HAMMER = "\N{HAMMER AND PICK}"
"""Behind the name of a factor that a regime sets in some samples."""
FORMATS = (".png", ".svg", ".pdf")


def causal_graph(spec: Spec) -> Figure:
    """Draw the graph of every declared view: the arrows that its data obey. Parents stand left of their children.

    An arrow from an earlier frame is dashed; a factor that its own past causes has a round arrow behind its name.
    Three views and more stand below each other; there, factors without arrows are drawn once, below all, with the role
    that each view gives them. A dashed frame is that of a factor which changes, or is mixed, in some of the samples, a
    hammer marks one that a regime sets in some of them, with the name of the case where that is another; the factors
    that say in which (`VIEW_changed_FACTOR`, `REGIME_CASE`) are not drawn. The label of a regime has a square box.
    """
    from matplotlib.figure import Figure  # half a second, which the page of `m3di browse` need not wait for

    place = factor_places(spec)
    loose = [name for name in place if name not in linked_factors(spec)]
    if len(spec.views) < COLUMN_FROM or len(loose) == len(place):
        loose = []
    for name in loose:
        del place[name]
    n_columns, n_rows = (max(each[axis] for each in place.values()) + 1 for axis in (0, 1))
    n_columns = max(n_columns, 3)
    shape = (1, len(spec.views)) if len(spec.views) < COLUMN_FROM else (len(spec.views) + bool(loose), 1)
    rows = [n_rows] * shape[0]
    rows[-1] = -(-len(loose) // n_columns) if loose else n_rows
    width = max(5.0, COLUMN_WIDTH_IN * n_columns * shape[1])
    height = ROW_HEIGHT_IN * (sum(rows) + 2 * len(rows) + 1)
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(*shape, squeeze=False, height_ratios=[each + 2 for each in rows]).ravel()
    for axis, n in zip(axes, rows * shape[1], strict=True):
        axis.set_xlim(-0.5, n_columns - 0.5)
        axis.set_ylim(n - 0.4, -0.6)
        axis.axis("off")
    drawn = {view: arrows(spec, view) for view in spec.views}
    for axis, view in zip(axes, spec.views, strict=False):
        _draw_panel(axis, spec, view, place, drawn[view])
    every = frozenset().union(*drawn.values())
    if loose:
        _draw_loose(axes[-1], spec, loose, n_columns, every)
    figure.legend(
        handles=_handles(axes[0], spec, every), loc="outside lower center", ncols=4, fontsize=8, frameon=False
    )
    return figure


def _has_own_past(name: str, drawn: frozenset[tuple[str, str]]) -> bool:
    return any(child == name and parent.partition("@")[0] == name for parent, child in drawn)


def _handles(axis: Axes, spec: Spec, drawn: frozenset[tuple[str, str]]) -> list[Any]:
    """What the legend explains."""
    handles: list[Any] = [
        axis.scatter([], [], marker="s", s=60, color=color, edgecolor="#555555", label=role)
        for role, color in ROLE_COLORS.items()
    ]
    if any(use.when is not None for view in spec.views.values() for use in view.factors.values()):
        handles += axis.plot([], [], color="#555555", linestyle=SOMETIMES, lw=1.2, label="changes in some samples")
    if any("@" in parent and parent.partition("@")[0] != child for parent, child in drawn):
        handles += axis.plot([], [], color="#555555", linestyle="--", lw=1.2, label="arrow from an earlier frame")
    if any(_has_own_past(name, drawn) for name in spec.factors):
        handles.append(axis.scatter([], [], marker=f"${PAST}$", s=60, color="black", label="its own past causes it"))
    if any(regime.chosen is not None for regime in spec.regimes.values()):
        handles.append(axis.scatter([], [], marker=f"${HAMMER}$", s=60, color="black", label="set in some samples"))
    return handles


def _draw_loose(axis: Axes, spec: Spec, names: list[str], n_columns: int, drawn: frozenset[tuple[str, str]]) -> None:
    """Factors without arrows, each with a square a view in the colour of its role there."""
    axis.set_title(f"without arrows, as in {', '.join(spec.views)}", fontsize=11)
    step = 0.22 / COLUMN_WIDTH_IN
    for number, name in enumerate(names):
        column, row = number % n_columns, number // n_columns
        seen = next((each for each in spec.views if spec.replaced(name, each)), "")
        left, shown = column - 0.4, _shown(spec, seen, name, own_past=_has_own_past(name, drawn))
        for place, view in enumerate(spec.views.values()):
            role = view.factors[name].role if name in view.factors else "not seen"
            axis.scatter(
                left + step * place, row, marker="s", s=60, color=ROLE_COLORS[role], edgecolor="#555555", lw=0.6
            )
        axis.text(left + step * len(spec.views), row, shown, ha="left", va="center", fontsize=8)


def _shown(spec: Spec, view: str, name: str, *, own_past: bool) -> str:
    return " ".join([name, *factor_marks(spec, view, name, own_past=own_past)])


def factor_marks(spec: Spec, view: str, name: str, *, own_past: bool) -> list[str]:
    """What stands behind the name of a factor in a view: that its past causes it, that it is set in some samples."""
    cases = [
        case
        for regime in spec.regimes.values()
        for case, mechanisms in regime.cases.items()
        if regime.chosen is not None and name in mechanisms and spec.replaced(name, view)
    ]
    marks = [PAST] if own_past else []
    return [*marks, *(HAMMER if case == name else f"{HAMMER} {case}" for case in cases)]


def _draw_panel(
    axis: Axes, spec: Spec, view_name: str, place: dict[str, tuple[int, int]], drawn: frozenset[tuple[str, str]]
) -> None:
    view = spec.views[view_name]
    axis.set_title(f"{view_name} ({view.modality})", fontsize=11)
    boxes, letters = {}, {}
    labels = {name for name, regime in spec.regimes.items() if regime.chosen is None}
    for name in (each for each in spec.factors if each in place):
        role = view.factors[name].role if name in view.factors else "not seen"
        ink = "black" if name in view.factors else "#888888"
        frame = {"boxstyle": "round,pad=0.3", "facecolor": ROLE_COLORS[role], "edgecolor": "#555555", "lw": 0.6}
        if name in view.factors and view.factors[name].when is not None:
            frame |= {"linestyle": SOMETIMES, "lw": 1.2}
        if name in labels:
            frame |= {"boxstyle": "square,pad=0.3", "lw": 1.2}
        own_past = _has_own_past(name, drawn)
        text = axis.text(
            *place[name],
            _shown(spec, view_name, name, own_past=own_past),
            ha="center",
            va="center",
            fontsize=8,
            color=ink,
            bbox=frame,
        )
        boxes[name], letters[name] = text.get_bbox_patch(), len(text.get_text())
    for parent, name in sorted(drawn):
        origin, _, is_earlier = parent.partition("@")
        if origin != name and origin in place and name in place:  # the factor's own past is told by its name
            axis.add_patch(_arrow(place, boxes, letters, origin, name, is_earlier=bool(is_earlier)))


def _arrow(
    place: dict[str, tuple[int, int]],
    boxes: dict[str, Any],
    letters: dict[str, int],
    parent: str,
    name: str,
    *,
    is_earlier: bool,
) -> FancyArrowPatch:
    """From a parent to its child: dashed where the parent lies in an earlier frame."""
    from matplotlib.patches import FancyArrowPatch

    span = place[name][0] - place[parent][0]
    bend = -0.2 if is_earlier and span <= 0 else _bend(place, letters, parent, name)
    return FancyArrowPatch(
        place[parent],
        place[name],
        patchA=boxes[parent],
        patchB=boxes[name],
        connectionstyle=f"arc3,rad={bend}",
        arrowstyle="-|>",
        linestyle="--" if is_earlier else "-",
        mutation_scale=11,
        color="#555555",
        zorder=4,  # after the names, whose frames it ends at
    )


def _bend(place: dict[str, tuple[int, int]], letters: dict[str, int], parent: str, name: str) -> float:
    """How far an arrow bends: as little as leads around the names between."""
    span = max(place[name][0] - place[parent][0], 1)
    usual = min(0.12 * (span - 1), 0.8 / span)
    between = [each for each in place if place[parent][0] < place[each][0] < place[name][0]]
    candidates = [usual, 0.0, *(sign * usual * factor for factor in (0.5, 1.0, 1.5, 2.0) for sign in (1, -1))]
    crossed = [sum(_crosses(place, parent, name, bend, each, letters) for each in between) for bend in candidates]
    return candidates[crossed.index(min(crossed))]


def _crosses(
    place: dict[str, tuple[int, int]], parent: str, name: str, bend: float, other: str, letters: dict[str, int]
) -> bool:
    """Whether an arrow (matplotlib's `arc3`: a quadratic curve) leads through the box of another name."""
    (x, y), (from_x, from_y), (to_x, to_y) = (
        (column * COLUMN_WIDTH_IN, -row * ROW_HEIGHT_IN) for column, row in (place[other], place[parent], place[name])
    )
    middle_x, middle_y = (from_x + to_x) / 2 + bend * (to_y - from_y), (from_y + to_y) / 2 - bend * (to_x - from_x)
    half_width = HALF_BOX_IN + letters[other] * LETTER_IN / 2
    for step in range(1, N_STEPS):
        t = step / N_STEPS
        at_x = (1 - t) ** 2 * from_x + 2 * t * (1 - t) * middle_x + t**2 * to_x
        at_y = (1 - t) ** 2 * from_y + 2 * t * (1 - t) * middle_y + t**2 * to_y
        if abs(at_x - x) < half_width and abs(at_y - y) < HALF_BOX_IN:
            return True
    return False


def save_causal_graph(path: Path, spec: Spec) -> None:
    """Write `causal_graph(spec)` as PNG, SVG or PDF, by the ending of the file's name.

    Raises:
        UsageError: Another ending.
        M3diError: The file cannot be written.
    """
    if path.suffix.lower() not in FORMATS:
        raise UsageError("unknown picture format", where=str(path), got=path.suffix, expected=", ".join(FORMATS))
    with disk_errors(path, "the graph cannot be written", kept=False):
        path.parent.mkdir(parents=True, exist_ok=True)
        causal_graph(spec).savefig(path, dpi=150)


def factor_places(spec: Spec) -> dict[str, tuple[int, int]]:
    """Column and row of each factor: by the longest path that leads to it; what has no arrows fills rows below.

    Those that choose what changes have none.
    """
    hidden = choosing_factors(spec)
    drawn = [name for name in spec.factors if name not in hidden]
    # Over several frames all arrows may make a circle, those of the usual mechanisms rarely, those in one frame never.
    choices = (spec.parents, lambda name: _usual_parents(spec, name), spec.present_parents)
    order, parents = next(found for each in choices if (found := _in_order(drawn, each)) is not None)
    depth: dict[str, int] = {}
    for name in order:
        depth[name] = 1 + max((depth[parent] for parent in parents[name]), default=-1)
    linked = linked_factors(spec)
    place: dict[str, tuple[int, int]] = {}
    filled = [0] * (max(depth.values()) + 1)
    for name in (name for name in drawn if name in linked):
        place[name] = (depth[name], filled[depth[name]])
        filled[depth[name]] += 1
    n_columns, first = max(len(filled), 3), max(filled)
    for number, name in enumerate(name for name in drawn if name not in linked):
        place[name] = (number % n_columns, first + number // n_columns)
    return place


def _usual_parents(spec: Spec, name: str) -> tuple[str, ...]:
    """Parents of a factor's own mechanism in any frame, and what says which case of a regime holds."""
    return (*spec.factors[name].mechanism.causes, *(each.switch for each in spec.replaced(name)))


def _in_order(
    names: list[str], parents_of: Callable[[str], Iterable[str]]
) -> tuple[list[str], dict[str, list[str]]] | None:
    """Names, parents first, and the parents of each among them; None where they make a circle."""
    parents = {name: [each for each in parents_of(name) if each != name and each in names] for name in names}
    try:
        return list(TopologicalSorter(parents).static_order()), parents
    except CycleError:
        return None


def linked_factors(spec: Spec) -> frozenset[str]:
    """Factors that some arrow joins to another one, in any view and frame."""
    hidden = choosing_factors(spec)
    pairs = [(parent, name) for name in spec.factors if name not in hidden for parent in spec.parents(name)]
    return frozenset(each for pair in pairs if pair[0] != pair[1] and pair[0] not in hidden for each in pair)
