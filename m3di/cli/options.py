"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from m3di.cli.command import SEVERAL
from m3di.cli.paths import Place, UserPath
from m3di.cli.telling import note, say
from m3di.errors import UsageError, without_credentials

if TYPE_CHECKING:
    from m3di.latents import Spec


FOLDER = UserPath()
IMPORT = click.option(
    "--import",
    "modules",
    multiple=True,
    type=SEVERAL,
    metavar="MODULE",
    help="Import this first: it registers what you name. Repeatable.",
)


def with_options(*options: Callable[..., Any]) -> Callable[..., Any]:
    """Combine several options into one decorator; the help shows them in their order."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


SCENE: tuple[str, ...] = ("spec", "interventions", "seed", "size_px", "n_workers", "gpu", "gpu_devices", "gpu_backend")
SCENE += ("worker_memory_gb", "image_timeout_s", "quality")  # fields of `RenderOptions` that a preview uses too
WORKERS = ("n_workers", "gpu_devices", "gpu_backend", "worker_memory_gb", "image_timeout_s")
"""Those of commands that render a given dataset again: the keys of `m3di.generate.WorkerOptions`."""


def refuse_given(options: Mapping[str, Any], needed: str) -> None:
    """Refuse options about rendering in a command that is not going to render.

    Args:
        options: Values by the names of fields of `RenderOptions`; None if an option was not given.
        needed: The option that they need.

    Raises:
        UsageError: It names the first of them.
    """
    for name in [name for name in WORKERS if options[name] is not None]:
        raise UsageError(
            "this option is about rendering, and nothing is rendered here",
            where=name,
            got=options[name],
            expected=f"{needed} beside it",
            next_step=f"add {needed}, or leave it out",
        )


PLACE = click.argument("root", metavar="FOLDER|URL", type=Place())
ROOT = click.argument("root", metavar="FOLDER", type=Place())
OUT = click.option("--out", type=Place(), metavar="FOLDER", required=True, help="A new or empty folder.")


def tell_notes(spec: Spec) -> None:
    """Print notes on what is valid in a spec but may not be intended."""
    from m3di.latents import notes

    for each in notes(spec):
        note(each)


def wrote(root: str, n_samples: dict[str, int]) -> None:
    """Print how many samples a dataset has now."""
    counts = ", ".join(f"{name} {n}" for name, n in n_samples.items())
    say(f"{without_credentials(root)}: {counts} samples")
