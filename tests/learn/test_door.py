"""Importing the room: the names it gives, what it leaves alone, and what it says without PyTorch."""

from __future__ import annotations

import subprocess
import sys

import pytest

import m3di.learn


def run_python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_every_name_is_there():
    for name in m3di.learn.__all__:
        assert getattr(m3di.learn, name) is not None
    assert callable(m3di.learn.train)


@pytest.mark.slow
def test_importing_does_not_import_blender():
    # A finder that refuses bpy, so that even an attempt to import it fails.
    result = run_python("import sys; sys.modules['bpy'] = None; import m3di.learn; print(m3di.learn.train.__name__)")
    assert result.returncode == 0, result.stderr
    assert result.stdout == "train\n"


@pytest.mark.parametrize("missing", ["torch", "safetensors"])
def test_without_pytorch_the_message_says_what_to_install(missing):
    code = f"""
import sys
sys.modules[{missing!r}] = None
from m3di.errors import M3diError
try:
    import m3di.learn
except M3diError as error:
    print(error)
"""
    result = run_python(code)
    assert result.returncode == 0, result.stderr
    assert "training needs PyTorch and safetensors, which are not installed" in result.stdout
    assert "pip install 'm3di[train]'" in result.stdout
    assert missing in result.stdout
