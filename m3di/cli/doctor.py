"""`m3di doctor`: what works here, and how to mend the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from m3di.cli.command import command
from m3di.cli.telling import JSON, print_json

if TYPE_CHECKING:
    from m3di.doctor import Examination


@command(examples=("m3di doctor", "m3di doctor --json"))
@JSON
def doctor(as_json: bool) -> None:
    """Say what works on this machine, and how to mend the rest.

    Blender and torch are tried in processes of their own. The exit code is 0 if specs, samples and datasets work, also
    without Blender, torch or a GPU.
    """
    from m3di.doctor import examine

    found = examine()
    if as_json:
        print_json(found.as_dict())
    else:
        click.echo(described(found))
    if not found.works:
        raise click.exceptions.Exit(1)


def described(found: Examination) -> str:
    """Write an examination for people."""
    lines = []
    for each in found.findings:
        lines.append(f"{each.state:8}{each.name:20}{each.found}")
        lines += [f"{'':28}mend: {each.mend}"] * bool(each.mend)
    lines += ["", "versions  " + ", ".join(f"{name} {version}" for name, version in found.versions.items())]
    for extra in found.extras:
        told = [f"without {', '.join(extra.missing)}"] * bool(extra.missing) or ["complete"]
        told += [f"pip install 'm3di[{extra.name}]'"] * bool(extra.missing)
        lines.append(f"extra     {extra.name:8}{'; '.join(told)}")
    for folder in found.folders:
        size = f"{folder.n_bytes / 1e6:,.1f} MB in {folder.n_files:,} files"
        lines.append(f"kept      {folder.name}: {folder.path or 'no place'}, {size} ({folder.variable}); {folder.note}")
    lines += [f"free      {room.n_free / 1e9:,.1f} GB for {room.name}: {room.path}" for room in found.rooms]
    works = "the core works" if found.works else "the core does not work: mend what is broken above"
    return "\n".join([*lines, "", works])
