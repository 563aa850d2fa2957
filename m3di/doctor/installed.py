"""Which packages of m3di's extras are installed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version

EXTRAS = ("render", "train", "ray", "s3", "wandb", "mlflow")
"""Those for users; the others are for people who change m3di."""


@dataclass(frozen=True)
class Extra:
    """An extra of the package.

    Attributes:
        name: As in `pip install 'm3di[NAME]'`.
        installed: Versions of its packages that are here.
        missing: Its packages that are not.
    """

    name: str
    installed: dict[str, str]
    missing: tuple[str, ...]


def extras() -> tuple[Extra, ...]:
    """List the extras with their packages; none of them where m3di itself is not installed, but on the path."""
    try:
        needs = requires("m3di") or []
    except PackageNotFoundError:
        return ()
    packages: dict[str, list[str]] = {name: [] for name in EXTRAS}
    for need in needs:
        for extra in re.findall(r"extra == ['\"]([^'\"]+)['\"]", need):
            named = re.match(r"[\w.-]+", need)
            if extra in packages and named is not None and named[0] not in packages[extra]:
                packages[extra].append(named[0])
    return tuple(_extra(name, wanted) for name, wanted in packages.items())


def _extra(name: str, wanted: list[str]) -> Extra:
    found = {package: version_of(package) for package in wanted}
    return Extra(
        name,
        {package: here for package, here in found.items() if here},
        tuple(package for package, here in found.items() if not here),
    )


def version_of(package: str) -> str:
    """Return the version of an installed package; empty if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
