"""Modules that a command imports first."""

from __future__ import annotations

import sys

import pytest

from m3di.errors import M3diError, UsageError
from m3di.system import plugins
from m3di.system.plugins import import_modules

MODULE = """
from pathlib import Path
with Path("imports.txt").open("a") as file:
    file.write("once ")
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with the search path and modules put back afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(plugins, "_imported", [])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_a_module_in_the_current_folder_is_imported_once(folder):
    (folder / "flat_shapes.py").write_text(MODULE)
    import_modules(["flat_shapes", "json"])
    import_modules(["flat_shapes"])  # a second command in one process
    assert (folder / "imports.txt").read_text() == "once "
    assert plugins.imported_modules() == ("flat_shapes", "json")


def test_a_file_of_the_folder_hides_no_installed_module(folder):
    (folder / "colorsys.py").write_text("raise RuntimeError('the wrong one')")
    sys.modules.pop("colorsys", None)
    import_modules(["colorsys"])
    assert sys.modules["colorsys"].rgb_to_hsv(1, 1, 1) == (0, 0, 1)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere", r"no module 'nowhere'(?s:.)*in the folder of nowhere\.py"),
        ("flat_shapes.py", r"no module 'flat_shapes\.py'(?s:.)*did you mean 'flat_shapes'\?"),
        ("nowhere.inside", r"no module 'nowhere\.inside'"),
    ],
)
def test_a_module_that_there_is_not(folder, name, said):
    (folder / "flat_shapes.py").write_text("")
    with pytest.raises(UsageError, match=said):
        import_modules([name])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import nowhere_at_all", "No module named 'nowhere_at_all'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("def", "SyntaxError"),
    ],
)
def test_a_module_that_fails(folder, text, said):
    (folder / "failing_module.py").write_text(text)
    with pytest.raises(M3diError, match=rf"the module cannot be imported(?s:.)*--import failing_module(?s:.)*{said}"):
        import_modules(["failing_module"])
