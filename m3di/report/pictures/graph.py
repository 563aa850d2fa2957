"""The causal graph of a spec, one panel a view: what causes what, and which factors the view sees in which role."""

from __future__ import annotations

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
COLUMN_FROM = 3
"""So many views stand below each other."""
SOMETIMES = (0, (3, 1.5))
"""Line of the frame of a factor that changes in some samples."""
FORMATS = (".png", ".svg", ".pdf")


def causal_graph(spec: Spec) -> Figure:
    """Draw the graph of every declared view: the arrows that its data obey. Parents stand left of their children.

    An arrow from an earlier frame is dashed; a factor that its own past causes has a round arrow behind its name.
    Three views and more stand below each other. A dashed frame is that of a factor which changes, or is mixed, in some
    of the samples; the factors that say in which (`VIEW_changes`, `VIEW_changed_FACTOR`) are not drawn.
    """
    from matplotlib.figure import Figure  # half a second, which the page of `m3di browse` need not wait for

    place = factor_places(spec)
    n_columns, n_rows = (max(each[axis] for each in place.values()) + 1 for axis in (0, 1))
    shape = (1, len(spec.views)) if len(spec.views) < COLUMN_FROM else (len(spec.views), 1)
    width = max(5.0, COLUMN_WIDTH_IN * n_columns * shape[1])
    figure = Figure(figsize=(width, (ROW_HEIGHT_IN * (n_rows + 2)) * shape[0] + ROW_HEIGHT_IN), layout="constrained")
    axes = figure.subplots(*shape, squeeze=False).ravel()
    for axis, view in zip(axes, spec.views, strict=True):
        axis.set_xlim(-0.5, n_columns - 0.5)
        axis.set_ylim(n_rows - 0.4, -0.6)
        _draw_panel(axis, spec, view, place)
    handles = [
        axes[0].scatter([], [], marker="s", s=60, color=color, edgecolor="#555555", label=role)
        for role, color in ROLE_COLORS.items()
    ]
    if any(use.when is not None for view in spec.views.values() for use in view.factors.values()):
        (line,) = axes[0].plot([], [], color="#555555", linestyle=SOMETIMES, lw=1.2, label="changes in some samples")
        handles.append(line)
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=8, frameon=False)
    return figure


def _draw_panel(axis: Axes, spec: Spec, view_name: str, place: dict[str, tuple[int, int]]) -> None:
    view, drawn = spec.views[view_name], arrows(spec, view_name)
    axis.set_title(f"{view_name} ({view.modality})", fontsize=11)
    axis.axis("off")
    boxes = {}
    for name in (each for each in spec.factors if each in place):
        role = view.factors[name].role if name in view.factors else "not seen"
        ink = "black" if name in view.factors else "#888888"
        frame = {"boxstyle": "round,pad=0.3", "facecolor": ROLE_COLORS[role], "edgecolor": "#555555", "lw": 0.6}
        if name in view.factors and view.factors[name].when is not None:
            frame |= {"linestyle": SOMETIMES, "lw": 1.2}
        own_past = any(parent.partition("@")[0] == name for parent, child in drawn if child == name)
        shown = f"{name} \N{CLOCKWISE OPEN CIRCLE ARROW}" if own_past else name
        text = axis.text(*place[name], shown, ha="center", va="center", fontsize=8, color=ink, bbox=frame)
        boxes[name] = text.get_bbox_patch()
    for parent, name in sorted(drawn):
        origin, _, is_earlier = parent.partition("@")
        if origin != name and origin in place and name in place:  # the factor's own past is told by its name
            axis.add_patch(_arrow(place, boxes, origin, name, is_earlier=bool(is_earlier)))


def _arrow(
    place: dict[str, tuple[int, int]], boxes: dict[str, Any], parent: str, name: str, *, is_earlier: bool
) -> FancyArrowPatch:
    """From a parent to its child: dashed where the parent lies in an earlier frame."""
    from matplotlib.patches import FancyArrowPatch

    # Arrows over several columns bend around the names between.
    span = place[name][0] - place[parent][0]
    bend = -0.2 if is_earlier and span <= 0 else 0.12 * (span - 1)
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
    causes = {name: [each for each in spec.parents(name) if each != name and each not in hidden] for name in drawn}
    parents = causes
    try:
        order = list(TopologicalSorter(parents).static_order())
    except CycleError:  # over several frames; those of one frame have none
        parents = {name: [each for each in spec.present_parents(name) if each not in hidden] for name in drawn}
        order = [name for name in spec.order if name not in hidden]
    depth: dict[str, int] = {}
    for name in order:
        depth[name] = 1 + max((depth[parent] for parent in parents[name]), default=-1)
    linked = {each for name in drawn for parent in causes[name] for each in (name, parent)}
    place: dict[str, tuple[int, int]] = {}
    filled = [0] * (max(depth.values()) + 1)
    for name in (name for name in drawn if name in linked):
        place[name] = (depth[name], filled[depth[name]])
        filled[depth[name]] += 1
    n_columns, first = max(len(filled), 3), max(filled)
    for number, name in enumerate(name for name in drawn if name not in linked):
        place[name] = (number % n_columns, first + number // n_columns)
    return place
