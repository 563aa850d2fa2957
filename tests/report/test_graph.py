from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import FancyArrowPatch
from PIL import Image

from m3di.errors import M3diError, UsageError
from m3di.latents import Spec, do, load_spec, parse_spec, spec_names
from m3di.latents.changing import choosing_factors
from m3di.report import causal_graph, factor_places, save_causal_graph
from m3di.report.pictures.graph import ROLE_COLORS, linked_factors
from tests.conftest import slow


def test_a_panel_a_view_with_every_factor_and_arrow(spec: Spec) -> None:
    figure = causal_graph(spec)
    image, text = figure.axes
    assert [axis.get_title() for axis in (image, text)] == ["image (image)", "text (text)"]
    n_arrows = sum(len(spec.parents(name)) for name in spec.factors)
    assert n_arrows == 3
    for axis, view in ((image, spec.views["image"]), (text, spec.views["text"])):
        assert [each.get_text() for each in axis.texts] == list(spec.factors)
        assert sum(isinstance(patch, FancyArrowPatch) for patch in axis.patches) == n_arrows
        for each in axis.texts:
            role = view.factors[each.get_text()].role if each.get_text() in view.factors else "not seen"
            box = each.get_bbox_patch()
            assert box is not None
            assert to_hex(box.get_facecolor()).upper() == ROLE_COLORS[role]


QUICK = ("3dident", "causal3dident", "image-pairs-causal", "m3di", "m3di-three-views")


@pytest.mark.slow
@pytest.mark.parametrize("name", [*QUICK, *slow(*(each for each in spec_names() if each not in QUICK))])
def test_names_do_not_overlap_and_parents_stand_left(name: str) -> None:
    spec = load_spec(name)
    axes = causal_graph(spec).axes
    places = {each.get_text().split()[0]: each.get_position() for each in axes[0].texts}
    hidden = choosing_factors(spec)  # what says which factors change is a dashed frame, or a hammer
    loose = {each.get_text().split()[0] for each in axes[-1].texts} if len(spec.views) > 2 else set()
    assert len(set(places.values())) == len(places)
    assert {*places, *loose} == spec.factors.keys() - hidden
    for child in places:
        for parent in set(spec.parents(child)) - hidden - {child}:
            assert places[parent][0] < places[child][0]


def test_what_an_earlier_frame_causes_is_dashed_and_its_own_past_a_round_arrow() -> None:
    spec = parse_spec(
        """
extends: 3dident
name: own
factors:
  object_xpos: {mechanism: {name: normal, mean: object_xpos@-1 + object_ypos@-1, std: 0.1}}
  object_zpos: {mechanism: {name: normal, mean: object_xpos, std: 0.1}}
sequence: {length: 2}
""",
        where="own",
    )
    axes = causal_graph(spec).axes[0]
    arrows = [each for each in axes.patches if isinstance(each, FancyArrowPatch)]
    assert sorted(each.get_linestyle() for each in arrows) == ["-", "--"]
    assert {each.get_text() for each in axes.texts if "↻" in each.get_text()} == {"object_xpos ↻"}


def test_three_views_stand_below_each_other_and_what_changes_has_a_dashed_frame() -> None:
    text = (
        "{extends: m3di, name: t, views: {after: {modality: image, shape: cow, changes: {probability: 0.5}, factors: "
        "{object_color: {role: style, change: {name: uniform}}, spotlight_pos: {role: style, change: {name: uniform}}, "
        "object_xpos: content}}}}"
    )
    figure = causal_graph(parse_spec(text, where="t"))
    places = [axis.get_subplotspec() for axis in figure.axes]
    assert [(each.rowspan.start, each.colspan.start) for each in places if each] == [(0, 0), (1, 0), (2, 0), (3, 0)]
    dashed = [
        {
            each.get_text()
            for each in axis.texts
            if (box := each.get_bbox_patch()) and box.get_linestyle() not in ("-", "solid")
        }
        for axis in figure.axes
    ]
    assert [len(each) for each in dashed] == [0, 0, 1, 0]
    assert dashed[2] == {"object_color"}
    assert "after_changes" not in {each.get_text() for axis in figure.axes for each in axis.texts}


def test_of_three_views_factors_without_arrows_are_drawn_once_with_the_role_in_each_view() -> None:
    spec = load_spec("m3di-three-views")
    *panels, below = causal_graph(spec).axes
    assert len(panels) == 3 and {each.get_text() for each in panels[0].texts} == linked_factors(spec)
    loose = [each.get_text() for each in below.texts]
    assert sorted(loose) == sorted(spec.factors.keys() - linked_factors(spec) - choosing_factors(spec))
    squares = [to_hex(each.get_facecolor()[0]).upper() for each in below.collections]
    for number, name in enumerate(loose):
        roles = [view.factors[name].role if name in view.factors else "not seen" for view in spec.views.values()]
        assert squares[3 * number : 3 * number + 3] == [ROLE_COLORS[role] for role in roles]


def test_a_regime_is_a_square_box_of_its_label_or_a_hammer_on_what_it_sets() -> None:
    text = """
extends: m3di
name: t
regimes:
  environment: {cases: {usual: {}, other: {object_color: uniform}}}
  intervened: {chosen: {}, cases: {object_shape: {object_shape: cow}, turned: {object_alpharot: 0, object_betarot: 0}}}
"""
    figure = causal_graph(parse_spec(text, where="t"))
    texts = {each.get_text(): each for each in figure.axes[0].texts}
    assert {"object_shape ⚒", "object_alpharot ⚒ turned", "object_betarot ⚒ turned", "object_color"} <= texts.keys()
    assert not [each for each in texts if each.startswith("intervened")]
    boxes = {
        name: type(texts[name].get_bbox_patch().get_boxstyle()).__name__ for name in ("environment", "object_color")
    }  # type: ignore[union-attr]
    assert boxes == {"environment": "Square", "object_color": "Round"}
    assert "set in some samples" in {each.get_text() for each in figure.legends[0].get_texts()}


def test_where_cases_make_a_circle_over_frames_parents_of_the_usual_mechanisms_stand_left() -> None:
    text = """
extends: temporal-causal3dident
name: t
regimes: {environment: {cases: {usual: {}, z: {object_zpos: {mean: spotlight_pos@-1 / 9}},
  alpha: {object_alpharot: {mean: object_zpos@-1}}}}}
"""
    spec = parse_spec(text, where="t")
    places = factor_places(spec)
    assert places["background_color"][0] < places["object_alpharot"][0] < places["object_zpos"][0]
    assert places["environment"][0] < places["object_alpharot"][0]


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".png", *slow(".svg", ".pdf")])
def test_formats(spec: Spec, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "new" / f"graph{suffix}"
    save_causal_graph(path, spec)
    start = path.read_bytes()[:300]
    assert {".png": b"PNG", ".svg": b"<svg", ".pdf": b"%PDF"}[suffix] in start or b"<?xml" in start
    if suffix == ".png":
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("L"))
        assert 0.005 < (pixels < 128).mean() < 0.3


def test_bad_places(spec: Spec, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown picture format(?s:.)*\.gif"):
        save_causal_graph(tmp_path / "graph.gif", spec)
    (tmp_path / "file").touch()
    with pytest.raises(M3diError, match="the graph cannot be written"):
        save_causal_graph(tmp_path / "file" / "graph.png", spec)


CROSSED = """
extends: m3di
name: crossed
regimes: {environment: {cases: {usual: {}, dark: {background_color: 0.1}}}}
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "text", [CROSSED, "{extends: m3di, name: plain}", "{extends: misaligned-captions, name: plain}"]
)
def test_no_arrow_leads_through_the_name_of_another_factor(text: str) -> None:
    figure = causal_graph(parse_spec(text, where="test.yaml"))
    figure.canvas.draw()
    n_arrows = 0
    for axis in figure.axes:
        boxes = {id(each.get_bbox_patch()): each.get_window_extent() for each in axis.texts}
        for arrow in [each for each in axis.patches if isinstance(each, FancyArrowPatch)]:
            n_arrows += 1
            ends = [boxes[id(each)] for each in (arrow.patchA, arrow.patchB)]
            centers = [((each.x0 + each.x1) / 2, (each.y0 + each.y1) / 2) for each in ends]
            start, control, end = arrow.get_connectionstyle()(*centers, shrinkA=0, shrinkB=0).vertices
            t = np.linspace(0, 1, 200)[:, None]
            points = (1 - t) ** 2 * start + 2 * t * (1 - t) * control + t**2 * end
            for box in [each for each in boxes.values() if each not in ends]:
                assert not any(box.contains(x, y) for x, y in points)
    assert n_arrows > 3


def test_the_own_past_is_told_of_factors_without_other_arrows_too_and_the_legend_explains_what_is_drawn() -> None:
    text = """
extends: m3di-three-views
name: t
sequence: {length: 3}
factors: {object_alpharot: {mechanism: {name: normal, mean: object_alpharot@-1, std: 0.1}}}
"""
    figure = causal_graph(parse_spec(text, where="t"))
    assert "object_alpharot ↻" in {each.get_text() for each in figure.axes[-1].texts}
    legend = {each.get_text() for each in figure.legends[0].get_texts()}
    assert "its own past causes it" in legend and "arrow from an earlier frame" not in legend


def test_a_view_that_no_case_reaches_has_no_hammer() -> None:
    regime = "regimes: {r: {chosen: {}, cases: {hue: {object_color: uniform}}}}"
    spec = parse_spec(f"extends: m3di\nname: t\n{regime}\n", where="t.yaml")
    for each, expected in ((spec, True), (do(spec, {"image.object_color": 0.5}), False)):
        image, text = causal_graph(each).axes
        (name,) = (shown.get_text() for shown in image.texts if shown.get_text().startswith("object_color"))
        assert ("hue" in name) == expected == bool(each.replaced("object_color", "image"))
        assert any("hue" in shown.get_text() for shown in text.texts if shown.get_text().startswith("object_color"))
