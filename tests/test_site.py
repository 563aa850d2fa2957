"""What the site adds to the pages of docs/."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.cli.test_main import m3di

ROOT = Path(__file__).parents[1]


@pytest.fixture
def hooks(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    pytest.importorskip("mkdocs")
    pytest.importorskip("nbformat")
    monkeypatch.setattr(sys, "path", list(sys.path))  # the hooks add their folder
    spec = importlib.util.spec_from_file_location("site_hooks", ROOT / "docs" / "site" / "hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_pages_that_lie_elsewhere_bring_their_pictures(hooks: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

    monkeypatch.setattr(hooks, "executed", lambda pages: {})
    config = MkDocsConfig()
    config.load_dict({"site_name": "m3di", "docs_dir": str(ROOT / "docs")})
    assert config.validate()[0] == []
    monkeypatch.setattr(
        config.plugins, "_current_plugin", "hooks", raising=False
    )  # as MkDocs does before it calls them
    files = hooks.on_files(Files([]), config)
    there = {file.src_uri: file for file in files}
    shown = [
        (of, to, picture)
        for of, to in hooks.PAGES.items()
        for picture in hooks.pictures((ROOT / of).read_text("utf-8"))
    ]
    assert ("benchmarks/RESULTS.md", "project/results.md", "figures/table1-cpu.png") in shown
    for of, to, picture in shown:
        wanted = ((ROOT / of).parent / picture).read_bytes()
        assert there[f"{Path(to).parent.as_posix()}/{picture}"].content_bytes == wanted


def test_the_page_of_commands_is_what_help_prints(hooks: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    page = hooks.command_line()
    monkeypatch.setattr(hooks, "WIDTH", 80)
    _, _, printed = m3di("info", "--help").stdout.strip().partition(" info ")
    assert f"Usage: m3di info {printed}\n```" in hooks.command_line()
    assert "-h, --help" in page
