"""The causal graph of a spec, one panel a view: what causes what, and which factors the view sees in which role."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from m3di.errors import UsageError
from m3di.latents import Spec, arrows
from m3di.system.disk import disk_errors

if TYPE_CHECKING:
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
FORMATS = (".png", ".svg", ".pdf")


def causal_graph(spec: Spec) -> Figure:
    """Draw the graph of every declared view: the arrows that its data obey. Parents stand left of their children.

    An arrow from an earlier frame is dashed; a factor that its own past causes has a round arrow behind its name.
    """
    from matplotlib.figure import Figure  # half a second, which the page of `m3di browse` need not wait for

    place = factor_places(spec)
    n_columns, n_rows = (max(each[axis] for each in place.values()) + 1 for axis in (0, 1))
    width = max(5.0, COLUMN_WIDTH_IN * n_columns * len(spec.views))
    figure = Figure(figsize=(width, ROW_HEIGHT_IN * (n_rows + 3)), layout="constrained")
    axes = figure.subplots(1, len(spec.views), squeeze=False)[0]
    for axis, (view_name, view) in zip(axes, spec.views.items(), strict=True):
        axis.set_title(f"{view_name} ({view.modality})", fontsize=11)
        axis.set_xlim(-0.5, n_columns - 0.5)
        axis.set_ylim(n_rows - 0.4, -0.6)
        axis.axis("off")
        drawn = arrows(spec, view_name)
        boxes = {}
        for name in spec.factors:
            role = view.factors[name].role if name in view.factors else "not seen"
            ink = "black" if name in view.factors else "#888888"
            frame = {"boxstyle": "round,pad=0.3", "facecolor": ROLE_COLORS[role], "edgecolor": "#555555", "lw": 0.6}
            own_past = any(parent.partition("@")[0] == name for parent, child in drawn if child == name)
            shown = f"{name} \N{CLOCKWISE OPEN CIRCLE ARROW}" if own_past else name
            text = axis.text(*place[name], shown, ha="center", va="center", fontsize=8, color=ink, bbox=frame)
            boxes[name] = text.get_bbox_patch()
        for parent, name in sorted(drawn):
            origin, _, is_earlier = parent.partition("@")
            if origin != name:  # the factor's own past is told by its name
                axis.add_patch(_arrow(place, boxes, origin, name, is_earlier=bool(is_earlier)))
    handles = [
        axes[0].scatter([], [], marker="s", s=60, color=color, edgecolor="#555555", label=role)
        for role, color in ROLE_COLORS.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=8, frameon=False)
    return figure


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
    """Column and row of each factor: by the longest path that leads to it; what has no arrows fills rows below."""
    parents = {name: [each for each in spec.parents(name) if each != name] for name in spec.factors}
    try:
        order = list(TopologicalSorter(parents).static_order())
    except CycleError:  # over several frames; those of one frame have none
        parents = {name: list(spec.present_parents(name)) for name in spec.factors}
        order = list(spec.order)
    depth: dict[str, int] = {}
    for name in order:
        depth[name] = 1 + max((depth[parent] for parent in parents[name]), default=-1)
    arrows_of = {name: [each for each in spec.parents(name) if each != name] for name in spec.factors}
    linked = {each for name, causes in arrows_of.items() for each in (name, *causes) if causes}
    place: dict[str, tuple[int, int]] = {}
    filled = [0] * (max(depth.values()) + 1)
    for name in (name for name in spec.factors if name in linked):
        place[name] = (depth[name], filled[depth[name]])
        filled[depth[name]] += 1
    n_columns, first = max(len(filled), 3), max(filled)
    for number, name in enumerate(name for name in spec.factors if name not in linked):
        place[name] = (number % n_columns, first + number // n_columns)
    return place
