"""Names, whoever registers them: modules of a package, hands, and installed packages."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from m3di.errors import M3diError, UsageError
from m3di.system.registry import Registry
from tests.conftest import write_package


class Shade:
    """What is registered here."""


class Grey(Shade): ...


class Pale(Shade): ...


def add_package(site: Path, text: str, points: str, name: str = "their_shades") -> None:
    """An installed package with entry points of the group `test.shades`."""
    write_package(site, name, text, f"[test.shades]\n{points}\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.fixture
def shades() -> Registry[type[Shade]]:
    return Registry("shade", Shade, group="test.shades", otherwise="register your own")


def test_a_registered_name_is_found_and_listed_in_order(shades: Registry[type[Shade]]) -> None:
    assert shades.register("pale")(Pale) is Pale
    shades.register("grey")(Grey)
    assert list(shades) == ["grey", "pale"]
    assert shades.find("grey") is shades["grey"] is Grey
    assert (len(shades), "grey" in shades, "none" in shades, shades.get("none")) == (2, True, False, None)
    assert shades.own() == []


def test_an_unknown_name_is_refused_with_what_is_near(shades: Registry[type[Shade]]) -> None:
    shades.register("grey")(Grey)
    with pytest.raises(UsageError, match=r"no shade is called 'gray'(?s:.)*grey(?s:.)*did you mean 'grey'\?"):
        shades.find("gray")
    with pytest.raises(UsageError, match=r"no shade is called 'x'(?s:.)*next: +register your own"):
        shades.find("x")
    with pytest.raises(KeyError):
        shades["x"]


def test_a_taken_name_is_refused_but_the_same_class_may_come_twice(shades: Registry[type[Shade]]) -> None:
    shades.register("grey")(Grey)
    with pytest.raises(UsageError, match=r"a shade of that name already(?s:.)*'grey'(?s:.)*taken by .*Grey"):
        shades.register("grey")(Pale)
    rerun = type("Grey", (Shade,), {"__module__": Grey.__module__})  # a cell of a notebook, once more
    shades.register("grey")(rerun)
    assert shades["grey"] is rerun
    numbers = Registry[object]("number", object)
    numbers.add("one", lambda: 1)
    with pytest.raises(UsageError, match="a number of that name already"):
        numbers.add("one", lambda: 2)


@pytest.mark.parametrize("name", ["", "a b", "a,b", "-a", "a=1", "timm:resnet18"])
def test_a_name_fits_the_command_line(name: str, shades: Registry[type[Shade]]) -> None:
    with pytest.raises(UsageError, match="this is no name of a shade"):
        shades.register(name)(Grey)


def test_what_is_of_another_kind_is_refused(shades: Registry[type[Shade]]) -> None:
    with pytest.raises(UsageError, match=r"this is no shade(?s:.)*where: +number(?s:.)*expected: +Shade"):
        shades.register("number")(int)


def test_modules_of_the_package_are_found_in_its_folder(site: Path) -> None:
    folder = site / "their_package"
    folder.mkdir()
    (folder / "__init__.py").write_text("from m3di.system.registry import Registry\n")
    (folder / "names.py").write_text(
        "from m3di.system.registry import Registry\nALL = Registry('number', int, package='their_package')\n"
    )
    for number, name in enumerate(["zero", "one"]):
        (folder / f"{name}.py").write_text(f"from their_package.names import ALL\nALL.add('{name}', {number})\n")
    # Own ones are told by the module of what was registered, which a bare number has not.
    (folder / "classes.py").write_text(
        "from their_package.names import ALL\n@ALL.register('two')\nclass Two(int): ...\n"
    )
    code = (
        f"import sys; sys.path.insert(0, {str(site)!r}); from their_package.names import ALL\n"
        "assert 'their_package.one' not in sys.modules\n"
        "print(list(ALL), ALL['one'], ALL.own())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['one', 'two', 'zero'] 1 ['two']\n"


def test_an_entry_point_is_listed_at_once_and_loaded_when_it_is_asked_for(
    site: Path, shades: Registry[type[Shade]]
) -> None:
    add_package(
        site, "from tests.system.test_registry import Shade\nclass Dark(Shade): ...\n", "dark = their_shades:Dark"
    )
    assert list(shades) == ["dark"]
    assert "dark" in shades
    assert "their_shades" not in sys.modules
    assert shades.find("dark").__qualname__ == "Dark"
    assert shades["dark"] is sys.modules["their_shades"].Dark


def test_an_entry_point_may_lead_to_a_module_that_registers(
    site: Path, shades: Registry[type[Shade]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "SHADES", shades, raising=False)
    text = "from tests.system.test_registry import SHADES, Shade\n@SHADES.register('dark')\nclass Dark(Shade): ...\n"
    add_package(site, text, "dark = their_shades\nnight = their_shades")
    assert shades.find("dark").__qualname__ == "Dark"
    with pytest.raises(M3diError, match=r"the shade night of an installed package(?s:.)*registers no shade 'night'"):
        shades.find("night")
    with pytest.raises(M3diError, match="registers no shade 'night'"):  # the second time too
        shades.find("night")


def test_an_entry_point_that_fails_says_so(site: Path, shades: Registry[type[Shade]]) -> None:
    add_package(site, "1 / 0\n", "dark = their_shades:Dark")
    said = (
        r"the shade dark of an installed package cannot be loaded(?s:.)*dark = their_shades:Dark of test\.shades"
        r"(?s:.)*ZeroDivisionError: division by zero(?s:.)*another version of their_shades"
    )
    with pytest.raises(M3diError, match=said):
        shades.find("dark")


def test_an_entry_point_takes_no_name_that_is_there(site: Path, shades: Registry[type[Shade]]) -> None:
    shades.register("grey")(Grey)
    text = "from tests.system.test_registry import Shade\nclass Dark(Shade): ...\n"
    add_package(site, text, "grey = their_shades:Dark")
    with pytest.raises(UsageError, match="there is a shade of that name already"):
        shades.find("grey")
