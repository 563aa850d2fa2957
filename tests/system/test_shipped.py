"""Files that come with m3di are found in a clone and in an installed package."""

from __future__ import annotations

from pathlib import Path

import pytest

from m3di.system import shipped as module
from m3di.system.shipped import shipped


def test_in_a_clone_they_lie_beside_the_package() -> None:
    assert (shipped("blender_scenes") / "scene.blend").is_file()
    assert (shipped("templates") / "m3di.yaml").is_file()


def test_in_an_installed_package_they_lie_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "m3di" / "templates").mkdir(parents=True)
    (tmp_path / "templates").mkdir()  # another package's
    monkeypatch.setattr(module, "PACKAGE", tmp_path / "m3di")
    assert shipped("templates") == tmp_path / "m3di" / "templates"
