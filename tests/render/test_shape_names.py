"""Shapes by name, without Blender."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from m3di.errors import M3diError, UsageError
from m3di.latents import load_spec, parse_spec, shape_names, shapes_shown
from m3di.render.library.user_shapes import shape_folder

LAMPS = "{extends: m3di, name: lamps, factors: {object_shape: {values: [lamp, cube]}}, views: {text: null}}"


def test_a_mesh_of_the_users_is_known_to_the_checks_of_specs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("M3DI_DATA_HOME", str(tmp_path))
    with pytest.raises(UsageError, match="no shape is called 'lamp'"):
        parse_spec(LAMPS, where="lamps.yaml")
    (tmp_path / "shapes").mkdir()
    (tmp_path / "shapes" / "lamp.npz").touch()
    assert "lamp" in shape_names()
    assert list(shapes_shown(parse_spec(LAMPS, where="lamps.yaml"))) == ["lamp", "cube"]


def test_the_shapes_of_a_spec_are_those_that_its_images_show() -> None:
    assert len(shapes_shown(load_spec("m3di"))) == 7
    assert shapes_shown(load_spec("image-pairs")) == {"teapot": ("views", "view1", "shape")}
    words = "{extends: m3di, name: words, factors: {object_shape: {values: [lamp, chair]}}, views: {image: null}}"
    assert shapes_shown(parse_spec(words, where="words.yaml")) == {}


def test_without_a_folder_for_meshes_the_built_in_shapes_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("M3DI_DATA_HOME")
    monkeypatch.setitem(sys.modules, "platformdirs", None)
    assert "teapot" in shape_names()
    assert load_spec("m3di").name == "m3di"
    with pytest.raises(M3diError, match=r"no folder for your shapes(?s:.)*platformdirs"):
        shape_folder()
