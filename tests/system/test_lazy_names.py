"""Names of a room that are imported on first use."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from pathlib import Path

import pytest

import m3di

ROOMS = sorted(each.name for each in pkgutil.iter_modules(m3di.__path__) if each.ispkg)
WITH_FACE = [room for room in ROOMS if (Path(m3di.__path__[0]) / room / "names.py").exists()]


def test_most_rooms_have_a_face() -> None:
    assert {"data", "generate", "latents", "learn", "render"} <= set(WITH_FACE)


@pytest.mark.parametrize("room", WITH_FACE)
def test_a_room_gives_what_its_names_say(room: str) -> None:
    face, names = importlib.import_module(f"m3di.{room}"), importlib.import_module(f"m3di.{room}.names")
    assert dir(face) == face.__all__ == sorted(names.__all__)
    for name in names.__all__:
        assert getattr(face, name) is getattr(names, name)


@pytest.mark.parametrize("room", WITH_FACE)
def test_what_is_not_there_is_an_attribute_error(room: str) -> None:
    with pytest.raises(AttributeError, match=f"module 'm3di.{room}' has no attribute 'nothing'"):
        importlib.import_module(f"m3di.{room}").nothing  # noqa: B018


def test_a_name_is_imported_when_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "their_room"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "from m3di.system.lazy_names import lazy_names\n__getattr__, __dir__ = lazy_names(__name__)\n"
    )
    (folder / "names.py").write_text(
        "from __future__ import annotations\nfrom their_room.one import FIRST\nfrom their_room.two import SECOND\n"
        "raise AssertionError('this is read and not run')\n"
    )
    (folder / "one.py").write_text("FIRST = 1\n")
    (folder / "two.py").write_text("SECOND = 2\n")
    monkeypatch.syspath_prepend(tmp_path)
    room = importlib.import_module("their_room")
    assert dir(room) == ["FIRST", "SECOND"] and "their_room.one" not in sys.modules
    assert room.FIRST == 1 and "their_room.two" not in sys.modules
    namespace: dict[str, object] = {}
    exec("from their_room import *", namespace)
    assert namespace["SECOND"] == 2
    for name in [name for name in sys.modules if name.split(".")[0] == "their_room"]:
        del sys.modules[name]
