"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from m3di.cli.paths import UserPath
from m3di.errors import UsageError, without_credentials

if TYPE_CHECKING:
    from m3di.latents import Spec


FOLDER = UserPath()
IMPORT = click.option(
    "--import",
    "modules",
    multiple=True,
    metavar="MODULE",
    help="Import this first: it registers what you name. Repeatable.",
)


def with_options(*options: Callable[..., Any]) -> Callable[..., Any]:
    """One decorator of several options, shown in their order."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


SPEC_OPTIONS = (
    click.option("--spec", default="m3di", show_default=True, help="Name of a built-in spec, or a .yaml file."),
    click.option(
        "--do",
        "interventions",
        multiple=True,
        metavar="FACTOR=VALUE",
        help="Intervene: a value, a mechanism such as uniform, or a mapping such as '{strength: 0.5}'. Repeatable.",
    ),
    click.option("--seed", default=0, show_default=True, help="Seed of all noise streams."),
)


def gpu_numbers(context: click.Context, option: click.Parameter, value: str | None) -> tuple[int, ...]:
    """`0,2` as numbers."""
    parts = [part.strip() for part in (value or "").split(",") if part.strip()]
    if not all(part.isdecimal() for part in parts) or (value is not None and not parts):
        raise UsageError(
            "--gpu-devices takes numbers", where="--gpu-devices", got=value, expected="numbers, such as 0 or 0,2"
        )
    return tuple(map(int, parts))


SCENE_OPTIONS = (
    *SPEC_OPTIONS,
    click.option("--size", "size_px", default=224, show_default=True, help="Side of the images in pixels."),
    click.option(
        "--workers", "n_workers", type=int, help="Worker processes.  [default: one a core; up to eight a GPU]"
    ),
    click.option("--gpu", is_flag=True, help="Render on every GPU of the best back end with one."),
    click.option("--gpu-devices", metavar="NUMBERS", callback=gpu_numbers, help="Only on these GPUs, such as 0,2."),
    click.option(
        "--gpu-backend",
        type=click.Choice(["optix", "cuda", "hip", "oneapi", "metal"], case_sensitive=False),
        help="How to reach the GPUs.  [default: the first of these that has one]",
    ),
    click.option(
        "--worker-memory",
        "worker_memory_gb",
        type=float,
        default=4.0,
        show_default=True,
        help="Replace a worker that holds more memory, in GB.",
    ),
    click.option(
        "--image-timeout",
        "image_timeout_s",
        type=float,
        default=600.0,
        show_default=True,
        help="An image that takes longer has failed, in seconds.",
    ),
)


def quality_option(default: str) -> Callable[..., Any]:
    """`--quality`, with the names of the presets."""
    names = click.Choice(["draft", "fixed", "standard", "paper"])
    return click.option("--quality", type=names, default=default, show_default=True, help="How images are sampled.")


PLACE = click.argument("root", metavar="FOLDER|URL")


ROOT = click.argument("root", metavar="FOLDER")


OUT = click.option("--out", metavar="FOLDER", required=True, help="A new or empty folder.")


def tell_notes(spec: Spec) -> None:
    """Print what is sound in a spec and may yet be no intention."""
    from m3di.latents import notes

    for note in notes(spec):
        click.echo(f"note: {note}", err=True)


def wrote(root: str, n_samples: dict[str, int]) -> None:
    counts = ", ".join(f"{name} {n}" for name, n in n_samples.items())
    click.echo(f"{without_credentials(root)}: {counts} samples")
