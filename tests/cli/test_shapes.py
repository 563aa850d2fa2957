"""`m3di shapes` as a user meets it, with a data folder of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from m3di.cli.shapes import published
from tests.cli.test_main import failed, m3di
from tests.render.test_importing import OBJ, user_mesh


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("M3DI_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "home"


def test_list_remove_and_what_is_unknown() -> None:
    from m3di.render.library.user_shapes import store_user_meshes

    store_user_meshes({"teapot": user_mesh()})
    done = m3di("shapes", "list")
    assert done.returncode == 0
    assert "monkey           built in, CC0" in done.stdout
    assert "teapot           your own instead of the built-in shape" in done.stdout
    done = m3di("shapes", "remove", "teapot")
    assert done.stdout == "teapot: removed, the built-in shape is back\n"
    failed(m3di("shapes", "remove", "teapot"), 2, "you have no shape called 'teapot'", "a built-in shape: it stays")
    failed(m3di("shapes", "preview", "teapod"), 2, "no shape is called 'teapod'", "did you mean 'teapot'?")
    failed(m3di("shapes", "preview", "cow", "--size", 0), 2, "--size is too small", "got:      0", "8 or more")
    failed(m3di("shapes", "preview", "cow", "--workers", 0), 2, "--workers is too small", "1 or more")


def test_a_spec_with_an_unknown_shape_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    from importlib.resources import files

    text = (files("m3di.latents.specs") / "m3di.yaml").read_text()
    (tmp_path / "mine.yaml").write_text(text.replace("values: [teapot,", "values: [teapod,"))
    done = m3di("render", "--spec", "mine.yaml", "--n", 1, cwd=tmp_path)
    failed(done, 2, "no shape is called 'teapod'", "factors.object_shape.values", "did you mean 'teapot'?")
    assert not (tmp_path / "data").exists()
    failed(m3di("preview", "--spec", "mine.yaml", cwd=tmp_path), 2, "no shape is called 'teapod'")


def test_fetch_asks_first(home: Path) -> None:
    done = m3di("shapes", "fetch", "published")  # nobody is there to answer
    assert done.returncode != 0
    assert "licences" in done.stdout
    assert "Traceback" not in done.stderr
    assert not home.exists()
    done = m3di("shapes", "fetch", "published", "--yes", "--mirror", "http://127.0.0.1:9")
    failed(done, 1, "a mesh cannot be downloaded", "http://127.0.0.1:9/ShapeTeapot.blend", "check your network")
    assert not home.exists()


def test_a_no_is_no_interruption(home: Path) -> None:
    done = CliRunner().invoke(published, input="n\n")
    assert done.exit_code == 1 and "nothing was fetched" in done.output
    assert not home.exists()


@pytest.mark.slow
def test_import_preview_and_use_in_a_spec(tmp_path: Path) -> None:
    """A mesh of one's own, from its file to a dataset."""
    (tmp_path / "wedge.obj").write_text(OBJ)
    done = m3di("shapes", "import", "wedge.obj", "--name", "wedge", "--up", "Z", "--forward", "-Y", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "m3di shapes preview wedge" in done.stdout
    done = m3di("shapes", "preview", "wedge", "--size", 32, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert np.asarray(Image.open(tmp_path / "wedge.png").convert("RGB")).std() > 20
    (tmp_path / "mine.yaml").write_text(
        """
name: mine
factors:
  object_shape: {type: categorical, kind: label, values: [wedge, cube]}
  object_color: {type: continuous, kind: hue, range: [0, 1]}
  spotlight_color: {type: continuous, kind: hue, range: [0, 1]}
  background_color: {type: continuous, kind: hue, range: [0, 1]}
views:
  image:
    modality: image
    ground: checker
    factors: {object_shape: content, object_color: private, spotlight_color: private, background_color: private}
splits: {train: 2}
"""
    )
    options = ("--spec", "mine.yaml", "--n", 2, "--n-val", 0, "--n-test", 0, "--size", 32, "--quality", "draft")
    done = m3di("render", *options, "--workers", 1, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "`wedge`" in (tmp_path / "data" / "mine" / "README.md").read_text()
    assert m3di("render", *options, cwd=tmp_path).returncode == 0  # the same dataset
    (tmp_path / "wedge.obj").write_text(OBJ.replace("v 2.0", "v 1.5"))
    replaced = m3di("shapes", "import", "wedge.obj", "--name", "wedge", "--replace", cwd=tmp_path)
    assert replaced.returncode == 0, replaced.stderr
    failed(m3di("render", *options, cwd=tmp_path), 1, "a different dataset", "shapes.wedge: ")
