"""Registries of what users choose by name (losses, metrics, layouts, ...): m3di's own and that of other packages."""

from __future__ import annotations

import importlib
import pkgutil
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any, TypeVar, cast

from m3di.errors import M3diError, UsageError, did_you_mean

T = TypeVar("T")
V = TypeVar("V")
NAME = re.compile(r"[A-Za-z0-9][\w.@+-]*")  # fits into a list with commas on the command line


class Registry(Mapping[str, T]):
    """Values of one kind by name, in the order of their names.

    The modules of one package register m3di's own; they are found in its folder, and no list names them. Others come
    from modules that a command imports first, and from entry points, which are loaded on first use.

    Args:
        kind: Word for a value in messages, such as "loss".
        base: Class that the values are instances or subclasses of.
        group: Group of entry points. A point has the name of the value, and leads to the value or to a module that
            registers it.
        package: The package with m3di's own values; None if the caller adds them.
        besides: What else is a name, in words, such as "timm:NAME".
        otherwise: The next step after a name that is similar to none.

    Example:
        >>> from m3di.system.registry import Registry
        >>> shades = Registry("shade", int)
        >>> shades.add("grey", 128)
        >>> shades.find("grey"), list(shades)
        (128, ['grey'])
    """

    def __init__(
        self,
        kind: str,
        base: type[Any],
        *,
        group: str | None = None,
        package: str | None = None,
        besides: str | None = None,
        otherwise: str | None = None,
    ) -> None:
        self.kind, self.base, self.group, self.package = kind, base, group, package
        self.besides, self.otherwise = besides, otherwise
        self._a_kind = f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
        self._known: dict[str, T] = {}
        self._origins: dict[str, tuple[str, str]] = {}  # module and qualified name of what is registered
        self._loaded: set[EntryPoint] = set()
        self._has_own = package is None

    def register(self, name: str) -> Callable[[V], V]:
        """Return a decorator that makes a class or function known by a name; see `add`."""

        def decorate(value: V) -> V:
            self.add(name, value)
            return value

        return decorate

    def add(self, name: str, value: Any, *, origin: Any = None) -> None:
        """Make a value known by a name.

        Args:
            name: Letters, digits, `_`, `-`, `.`, `@` and `+`.
            value: The value.
            origin: The class or function that the value was made of; None for the value itself. A value whose origin
                has the same module and name replaces the former: a cell of a notebook can run again.

        Raises:
            UsageError: The name is taken or not valid, or the value is not of this kind.
        """
        made_of: Any = value if origin is None else origin
        found = (getattr(made_of, "__module__", ""), getattr(made_of, "__qualname__", repr(made_of)))
        if "<lambda>" in found[1]:
            found = (found[0], repr(made_of))  # all of a module have one name
        if not NAME.fullmatch(name):
            raise UsageError(f"this is no name of {self._a_kind}", got=repr(name), expected="letters, digits and _-.@+")
        if not (isinstance(value, self.base) or (isinstance(value, type) and issubclass(value, self.base))):
            raise UsageError(f"this is no {self.kind}", where=name, got=repr(value), expected=self.base.__qualname__)
        if self._origins.get(name, found) != found:
            raise UsageError(
                f"there is {self._a_kind} of that name already",
                where=".".join(found),
                got=repr(name),
                expected="a name of its own",
                next_step=f"that name is taken by {'.'.join(self._origins[name])}: choose another",
            )
        self._known[name] = cast("T", value)
        self._origins[name] = found

    def find(self, name: str) -> T:
        """Return a value by its name.

        Raises:
            UsageError: There is none of that name.
            M3diError: An installed package has it, and it cannot be loaded.
        """
        if name in self:
            return self[name]
        raise UsageError(
            f"no {self.kind} is called {name!r}",
            where=self.kind,
            expected=", ".join(self) + (f", or {self.besides}" if self.besides else ""),
            next_step=did_you_mean(name, self, otherwise=self.otherwise),
        )

    def own(self) -> list[str]:
        """Return the names of m3di's own values."""
        self._import_own()
        return self.registered_in(self.package or "")

    def registered_in(self, package: str) -> list[str]:
        """Return the names that a module, or a package and its modules, has registered."""
        return sorted(name for name in self._known if f"{self._origins[name][0]}.".startswith(f"{package}."))

    @property
    def loaded(self) -> Mapping[str, T]:
        """The values that are registered by now; this loads no entry point."""
        return self._known

    def __getitem__(self, name: str) -> T:
        self._import_own()
        for point in self._points():
            if point.name == name and point not in self._loaded:
                self._load(point)
        return self._known[name]

    def __contains__(self, name: object) -> bool:
        return name in self._names()

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._names()))

    def __len__(self) -> int:
        return len(self._names())

    def _names(self) -> set[str]:
        self._import_own()
        return {*self._known, *(point.name for point in self._points())}

    def _import_own(self) -> None:
        if not self._has_own and self.package is not None:
            self._has_own = True
            for module in pkgutil.iter_modules(importlib.import_module(self.package).__path__):
                importlib.import_module(f"{self.package}.{module.name}")

    def _points(self) -> tuple[EntryPoint, ...]:
        return () if self.group is None else _entry_points(self.group, tuple(sys.path))

    def _load(self, point: EntryPoint) -> None:
        self._loaded.add(point)
        before = self._known.get(point.name)
        try:
            self._take(point, point.load(), before)
        except M3diError:
            self._loaded.discard(point)
            raise
        except Exception as error:  # code of others may raise anything
            self._loaded.discard(point)
            raise self._useless(point, f"{type(error).__name__}: {error}") from error

    def _take(self, point: EntryPoint, value: Any, before: T | None) -> None:
        """Add what an entry point led to, unless its module has registered it."""
        if isinstance(value, ModuleType):
            if point.name not in self._known:
                raise self._useless(point, f"{point.value} registers no {self.kind} {point.name!r}")
        elif self._known.get(point.name) is before and before is not value:
            self.add(point.name, value)

    def _useless(self, point: EntryPoint, got: str) -> M3diError:
        return M3diError(
            f"the {self.kind} {point.name} of an installed package cannot be loaded",
            where=f"entry point {point.name} = {point.value} of {point.group}",
            got=got,
            next_step=f"install another version of {point.dist.name if point.dist else 'the package'}, or uninstall it",
        )


@lru_cache(maxsize=64)
def _entry_points(group: str, _search_path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """Return the entry points of all packages on the search path; to look takes milliseconds."""
    return tuple(entry_points(group=group))
