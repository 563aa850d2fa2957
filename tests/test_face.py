"""What a program finds in `import m3di`: a dozen names, each with an example that runs, and nothing heavy."""

from __future__ import annotations

import doctest
import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import m3di
from m3di import data
from m3di._version import __version__

ROOT = Path(__file__).parents[1]
OF_TORCH = ["m3di", "TrainConfig", "train", "load_encoders"]  # in the order of a program: the last needs the run before
LIGHT = sorted(set(m3di.__all__) - {*OF_TORCH, "Multimodal3DIdent", "__version__"})


def test_the_face_shows_its_names_and_nothing_else() -> None:
    assert dir(m3di) == sorted(m3di.__all__)
    assert 12 <= len(m3di.__all__) <= 17


@pytest.mark.slow
def test_each_name_is_that_of_its_room() -> None:
    rooms = {name: room for room, names in m3di._ROOMS.items() for name in names}
    assert {*rooms, "M3diError", "__version__"} == set(m3di.__all__)
    for name, room in rooms.items():
        assert getattr(m3di, name) is getattr(importlib.import_module(room), name)


def test_what_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        m3di.nothing  # noqa: B018


def test_a_room_stays_importable() -> None:
    from m3di import generate

    assert generate.__name__ == "m3di.generate"


def examples_that_fail(name: str) -> str:
    """Run the example in the docstring of a name; what failed, in words."""
    what = m3di if name == "m3di" else getattr(m3di, name)
    (test,) = doctest.DocTestFinder(recurse=False).find(what, name, module=False, globs={})
    assert test.examples, f"{name} has no example"
    said: list[str] = []
    doctest.DocTestRunner(verbose=False).run(test, out=said.append)
    return "".join(said)


@pytest.mark.parametrize("name", LIGHT)
def test_the_example_of_a_name_runs(
    name: str, fake_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "m3di").symlink_to(fake_dataset)
    monkeypatch.chdir(tmp_path)
    assert examples_that_fail(name) == ""


@pytest.mark.slow
def test_the_examples_of_what_needs_torch_run_one_after_the_other(
    fake_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(fake_dataset, tmp_path / "data" / "m3di")
    monkeypatch.chdir(tmp_path)
    for name in OF_TORCH:
        assert examples_that_fail(name) == ""


def test_an_example_that_is_wrong_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data.verify, "__doc__", "Example:\n    >>> 1 + 1\n    3\n")
    assert "Expected:\n    3\nGot:\n    2" in examples_that_fail("verify")


def test_the_version_is_written_once(tmp_path: Path) -> None:
    assert m3di.__version__ == __version__
    assert "version = attr: m3di._version.__version__" in (ROOT / "setup.cfg").read_text(encoding="utf-8").splitlines()


def test_the_module_is_the_command_line() -> None:
    done = subprocess.run([sys.executable, "-m", "m3di", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"m3di, version {__version__}\n"


@pytest.mark.slow
def test_a_script_beside_a_clone_imports_the_package(tmp_path: Path) -> None:
    """The folder of the clone has the package's name: Python takes it for a package where nothing better is found."""
    clone, site = tmp_path / "m3di", tmp_path / "site"
    for name in ("m3di", "blender_scenes", "templates"):
        shutil.copytree(ROOT / name, clone / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, clone)
    build = "import sys; from setuptools import build_meta; build_meta.build_editable(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, str(tmp_path)], cwd=clone, capture_output=True, check=True)
    (wheel,) = tmp_path.glob("m3di-*.whl")
    shutil.unpack_archive(wheel, site, "zip")
    script = tmp_path / "script.py"
    script.write_text(
        f"import site; site.addsitedir({str(site)!r})\nimport m3di; print(m3di.__file__, m3di.__version__)\n"
    )
    # -S: without the site-packages of these tests, which hold another m3di.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-S", str(script)], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout == f"{clone / 'm3di' / '__init__.py'} {__version__}\n"
