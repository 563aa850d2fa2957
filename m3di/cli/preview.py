"""`m3di preview`: a contact sheet of a spec."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from m3di.cli.command import command
from m3di.cli.completion import SPLITS
from m3di.cli.from_fields import RENDER, options_of
from m3di.cli.options import FOLDER, SCENE, tell_notes
from m3di.cli.progress import watched_bar
from m3di.cli.telling import note, say


@command(
    examples=(
        "m3di preview --spec m3di --seed 0 --n 12",
        "m3di preview --group-by object_shape --columns 6 --no-latents --n 24",
        "m3di preview --do object_color=0.5 --quality standard --n 4 --out blue.png",
    )
)
@click.option("--n", default=12, show_default=True, help="Samples to show.")
@click.option("--split", type=SPLITS, default="train", show_default=True, help="Their split.")
@click.option("--out", type=FOLDER, default=Path("preview.png"), show_default=True, help="The PNG to write.")
@options_of(RENDER, *SCENE, defaults={"quality": "draft"})
@click.option("--columns", "n_columns", default=4, show_default=True, help="Samples in a row.")
@click.option("--latents/--no-latents", default=True, show_default=True, help="Write the latents below each sample.")
@click.option("--group-by", metavar="FACTOR", help="Put samples together by the values of a factor, or VIEW.FACTOR.")
def preview(out: Path, n: int, split: str, n_columns: int, latents: bool, group_by: str | None, **options: Any) -> None:
    """Render a contact sheet of a spec: images with captions and latents."""
    from m3di.generate import RenderOptions
    from m3di.generate import preview as render_preview
    from m3di.latents import sample
    from m3di.report import check_layout, missing_characters, save_contact_sheet

    wanted = RenderOptions(out=out, **{name: value for name, value in options.items() if value is not None})
    spec = wanted.load_spec()
    check_layout(sample(spec, split, 1, seed=wanted.seed), n_columns, group_by)
    tell_notes(spec)
    with watched_bar("preview") as (count, watch):
        shown = render_preview(wanted, n, count, watch, split)
    layout = {"n_columns": n_columns, "latents": latents, "group_by": group_by}
    save_contact_sheet(out, shown.samples, shown.images, shown.captions, **layout)
    missing = missing_characters(text for texts in shown.captions.values() for text in texts)
    if missing:
        note(f"no font here has these characters, and boxes stand for them: {missing}")
    say(f"look at  {out}")
