"""Import the user's modules before a command, so that it knows by name what they register."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable
from pathlib import Path

from m3di.errors import M3diError, UsageError

_imported: list[str] = []


def import_modules(names: Iterable[str]) -> None:
    """Import modules by name, those in the current folder too, as `python -m` does.

    Args:
        names: Dotted names, without `.py`.

    Raises:
        UsageError: There is no such module.
        M3diError: Its import fails.
    """
    for name in names:
        if str(Path.cwd()) not in sys.path:
            sys.path.append(str(Path.cwd()))  # last, so that no file there hides an installed module
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
                raise _unknown(name) from error
            raise _failed(name, error) from error
        except M3diError:
            raise
        except Exception as error:  # code of others may raise anything
            raise _failed(name, error) from error
        if name not in _imported:
            _imported.append(name)


def imported_modules() -> tuple[str, ...]:
    """Return the names that `import_modules` has imported, for the processes that this one starts."""
    return tuple(_imported)


def _unknown(name: str) -> UsageError:
    bare = name.removesuffix(".py").replace("/", ".")
    return UsageError(
        f"there is no module {name!r} to import",
        where="--import",
        expected="the name of an installed module, or of a file in the current folder without its .py",
        next_step=f"did you mean {bare!r}?" if bare != name else f"run the command in the folder of {name}.py",
    )


def _failed(name: str, error: Exception) -> M3diError:
    return M3diError(
        "the module cannot be imported",
        where=f"--import {name}",
        got=f"{type(error).__name__}: {error}",
        next_step=f"python -c 'import {name}' shows where",
    )
