"""Modules that a command imports first."""

from __future__ import annotations

import sys

import pytest

from m3di.errors import M3diError, UsageError
from m3di.learn import import_modules
from m3di.learn.models.registry import build_image_encoder
from m3di.learn.training import plugins

ENCODER = """
from torch import nn
from m3di.learn import register_image_encoder
register_image_encoder("flat", lambda encoding_size, _: nn.Sequential(nn.Flatten(), nn.Linear(12, encoding_size)))
"""


@pytest.fixture
def folder(tmp_path, monkeypatch, tiny_encoder):
    """The current folder, with the search path, modules and registry put back afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(plugins, "_imported", [])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_a_module_in_the_current_folder_registers_its_encoder_once(folder):
    (folder / "flat_encoders.py").write_text(ENCODER)
    import_modules(["flat_encoders", "json"])
    import_modules(["flat_encoders"])  # a second command in one process
    assert build_image_encoder("flat", 3, 5)[1].weight.shape == (3, 12)
    assert plugins.imported_modules() == ("flat_encoders", "json")


def test_a_file_of_the_folder_hides_no_installed_module(folder):
    (folder / "colorsys.py").write_text("raise RuntimeError('the wrong one')")
    sys.modules.pop("colorsys", None)
    import_modules(["colorsys"])
    assert sys.modules["colorsys"].rgb_to_hsv(1, 1, 1) == (0, 0, 1)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere", r"no module 'nowhere'(?s:.)*in the folder of nowhere\.py"),
        ("flat_encoders.py", r"no module 'flat_encoders\.py'(?s:.)*did you mean 'flat_encoders'\?"),
        ("nowhere.inside", r"no module 'nowhere\.inside'"),
    ],
)
def test_a_module_that_there_is_not(folder, name, said):
    (folder / "flat_encoders.py").write_text("")
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
