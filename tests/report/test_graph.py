from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import FancyArrowPatch
from PIL import Image

from m3di.errors import M3diError, UsageError
from m3di.latents import Spec, load_spec, spec_names
from m3di.report import causal_graph, save_causal_graph
from m3di.report.pictures.graph import ROLE_COLORS
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


@pytest.mark.parametrize("name", [*QUICK, *slow(*(each for each in spec_names() if each not in QUICK))])
def test_names_do_not_overlap_and_parents_stand_left(name: str) -> None:
    spec = load_spec(name)
    places = {each.get_text(): each.get_position() for each in causal_graph(spec).axes[0].texts}
    assert len(set(places.values())) == len(spec.factors)
    for child in spec.factors:
        for parent in spec.parents(child):
            assert places[parent][0] < places[child][0]


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
