"""`m3di shapes`: the built-in shapes, and the user's meshes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from m3di.cli.command import group
from m3di.cli.completion import SHAPES
from m3di.cli.paths import UserPath
from m3di.cli.progress import progress_bar
from m3di.cli.telling import JSON, note, print_json, say

AXES = click.Choice(["X", "Y", "Z", "-X", "-Y", "-Z"], case_sensitive=False)


@group(examples=("m3di shapes list", "m3di shapes preview teapot cow"))
def shapes() -> None:
    """The shapes that a spec can name: built-in ones, and your own meshes."""


@shapes.command("list", examples=("m3di shapes list", "m3di shapes list --json"))
@JSON
def list_shapes(as_json: bool) -> None:
    """List all shapes by name."""
    from m3di.render import builtin_shapes, user_shapes

    own = user_shapes()
    builtin = builtin_shapes()
    if as_json:
        found = [
            {"name": name, "own": name in own, "built_in": name in builtin}
            | ({"path": own[name].path, "sha256": own[name].sha256} if name in own else {"path": None, "sha256": None})
            for name in sorted({*builtin, *own})
        ]
        print_json({"shapes": found})
        return
    for name in sorted({*builtin, *own}):
        if name in own:
            instead = " instead of the built-in shape" if name in builtin else ""
            click.echo(f"{name:16} your own{instead}, {own[name].path}, SHA-256 {own[name].sha256[:12]}")
        else:
            click.echo(f"{name:16} built in, CC0")


@shapes.command(examples=("m3di shapes preview teapot cow --out shapes.png",))
@click.argument("names", nargs=-1, required=True, metavar="NAME...", type=SHAPES)
@click.option("--out", type=UserPath(), help="The PNG to write.  [default: NAME.png]")
@click.option("--size", "size_px", default=256, show_default=True, help="Side of the near views in pixels.")
@click.option("--workers", "n_workers", default=1, show_default=True, help="Worker processes.")
def preview(names: tuple[str, ...], out: Path | None, size_px: int, n_workers: int) -> None:
    """Render shapes from eight sides, and as datasets show them."""
    from m3di.render import check_blender, check_sizes, find_shapes, turntables
    from m3di.report import save_turntable_sheet, turntable_sheet

    check_sizes(size_px, n_workers)
    found = find_shapes(names, where="NAME")
    check_blender()
    with progress_bar("preview") as progress:
        shown = turntables(names, size_px=size_px, n_workers=n_workers, user_shapes=found, progress=progress)
    sheet = turntable_sheet(names, [each.turned for each in shown], [each.in_dataset for each in shown])
    path = out or Path(f"{'-'.join(names)}.png")
    save_turntable_sheet(path, sheet)
    say(f"look at  {path}")


@shapes.command(examples=("m3di shapes remove lamp",))
@click.argument("names", nargs=-1, required=True, metavar="NAME...", type=SHAPES)
def remove(names: tuple[str, ...]) -> None:
    """Remove your own meshes; a built-in shape that one of them replaced is back then."""
    from m3di.render import builtin_shapes, remove_user_shape

    for name in names:
        remove_user_shape(name)
        say(f"{name}: removed" + (", the built-in shape is back" if name in builtin_shapes() else ""))


@shapes.command(
    "import",
    examples=("m3di shapes import lamp.glb --name lamp", "m3di shapes import lamp.obj --name lamp --up Z --replace"),
)
@click.argument("path", type=UserPath())
@click.option("--name", required=True, help="Name by which specs use it.")
@click.option("--up", type=AXES, help="Axis of the file that points up.  [default: Y in .obj and .glb, else Z]")
@click.option("--forward", type=AXES, help="Axis that the front faces.  [default: Z in .obj and .glb, else -Y]")
@click.option("--as-is", is_flag=True, help="Keep origin, size and polygons.")
@click.option("--mesh", help="Which object, or mesh, of a file that holds several.")
@click.option("--mend-winding", is_flag=True, help="Turn faces that point against the others.")
@click.option("--replace", is_flag=True, help="Replace your mesh of this name.")
def import_mesh(path: Path, name: str, **options: Any) -> None:
    """Import your own mesh: .blend, .obj, .ply, .stl, .glb, or a .zip with one of these in it."""
    from m3di.render import ImportOptions, builtin_shapes, check_blender, import_shape

    check_blender()
    notes: list[str] = []
    shape = import_shape(path, name, ImportOptions(**options), tell=notes.append)
    for each in notes:
        note(each)
    say(f"{name}: stored as {shape.path}")
    if name in builtin_shapes():
        say(f"it stands in for the built-in shape until you run: m3di shapes remove {name}")
    say(f"look at it:  m3di shapes preview {name}")


@shapes.group(examples=("m3di shapes fetch published",))
def fetch() -> None:
    """Download meshes that m3di does not ship."""


@fetch.command(examples=("m3di shapes fetch published --yes",))
@click.option("--yes", "-y", is_flag=True, help="Agree without being asked.")
@click.option("--mirror", "base_url", help="Another address of the same files; they are checked.")
@click.option("--replace", is_flag=True, help="Replace your meshes of these names.")
def published(yes: bool, base_url: str | None, replace: bool) -> None:
    """The seven meshes of the published dataset."""
    from m3di.render import check_blender
    from m3di.render.library.published_meshes import BASE_URL, CONSENT, fetch_published

    check_blender()
    if not yes:
        click.echo(CONSENT)
        if not click.confirm("Download and use them?"):
            click.echo("nothing was fetched", err=True)
            raise click.exceptions.Exit(1)
    for shape in fetch_published(base_url=base_url or BASE_URL, replace=replace):
        say(f"{shape.name}: stored as {shape.path}")
