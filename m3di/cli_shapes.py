"""`m3di shapes`: the built-in shapes, and meshes of the user."""

from __future__ import annotations

from pathlib import Path

import click

from m3di.progress import progress_bar

AXES = click.Choice(["X", "Y", "Z", "-X", "-Y", "-Z"], case_sensitive=False)


@click.group()
def shapes() -> None:
    """The shapes that a spec can name: built-in ones, and your own meshes."""


@shapes.command("list")
def list_shapes() -> None:
    """List all shapes by name."""
    from m3di.render import builtin_shapes, user_shapes

    yours = user_shapes()
    builtin = builtin_shapes()
    for name in sorted({*builtin, *yours}):
        if name in yours:
            instead = " instead of the built-in shape" if name in builtin else ""
            click.echo(f"{name:16} yours{instead}, {yours[name].path}, SHA-256 {yours[name].sha256[:12]}")
        else:
            click.echo(f"{name:16} built in, CC0")


@shapes.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--out", type=click.Path(path_type=Path), help="The PNG to write.  [default: NAME.png]")
@click.option("--size", "size_px", default=256, show_default=True, help="Side of the near views in pixels.")
@click.option("--workers", "n_workers", default=1, show_default=True, help="Worker processes.")
def preview(names: tuple[str, ...], out: Path | None, size_px: int, n_workers: int) -> None:
    """Render shapes from eight sides, and as datasets show them."""
    from m3di.render import check_blender, find_shapes, turntables
    from m3di.report import save_turntable_sheet, turntable_sheet

    yours = find_shapes(names, where="NAME")
    check_blender()
    with progress_bar("preview") as progress:
        shown = turntables(names, size_px=size_px, n_workers=n_workers, user_shapes=yours, progress=progress)
    sheet = turntable_sheet(names, [each.turned for each in shown], [each.in_dataset for each in shown])
    path = out or Path(f"{'-'.join(names)}.png")
    save_turntable_sheet(path, sheet)
    click.echo(f"look at  {path}")


@shapes.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
def remove(names: tuple[str, ...]) -> None:
    """Forget meshes of yours; a built-in shape that one of them stood in for is back then."""
    from m3di.render import builtin_shapes, remove_user_shape

    for name in names:
        remove_user_shape(name)
        click.echo(f"{name}: removed" + (", the built-in shape is back" if name in builtin_shapes() else ""))
