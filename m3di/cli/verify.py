"""`m3di verify`: check a dataset, and repair it."""

from __future__ import annotations

from typing import Any

import click

from m3di.cli.command import command
from m3di.cli.from_fields import RENDER, options_of
from m3di.cli.options import PLACE, WORKERS, refuse_given
from m3di.cli.progress import watched_bar
from m3di.errors import UsageError, without_credentials


@command()
@PLACE
@click.option("--quick", is_flag=True, help="Structure only: sizes, members, rows; no hashes, images or latents.")
@click.option("--repair", is_flag=True, help="Render bad images again, and remove files that do not belong there.")
@options_of(RENDER, *WORKERS)
def verify(root: str, quick: bool, repair: bool, **workers: Any) -> None:
    """Check every file and every sample of a dataset. Options about workers and GPUs are those of --repair."""
    from m3di.data import DataProblem, left_out
    from m3di.data import verify as verify_dataset

    if repair:
        from m3di.data import LocalFolder, open_folder
        from m3di.generate.repair import repair as repair_dataset

        folder = open_folder(root)
        if not isinstance(folder, LocalFolder):
            raise UsageError(
                "a dataset at a URL cannot be repaired there",
                where=root,
                next_step="copy it to a folder of this machine, repair that copy, and upload it again",
            )
        given: Any = {name: value for name, value in workers.items() if value is not None}
        with watched_bar("repair") as (count, watch):
            bad = repair_dataset(folder.root, count, watch, **given)
        made, removed = ([name for name in bad if (folder.root / name).exists() is there] for there in (True, False))
        done = [f"{what}: {', '.join(names)}" for what, names in (("made again", made), ("removed", removed)) if names]
        click.echo(f"{root}: {'; '.join(done) or 'nothing to repair'}")
        return
    refuse_given(workers, "--repair")
    notes: list[DataProblem] = []
    manifest = verify_dataset(root, quick=quick, on_note=notes.append)
    root = without_credentials(root)
    for note in notes:
        click.echo(f"note: {note}")
    checked = "have the right structure" if quick else "are as they were made"
    n_files = len(manifest.files) - len(notes)
    click.echo(f"{root}: all {n_files} {'other ' * bool(notes)}files {checked}")
    skipped = {} if quick else left_out(manifest)
    if skipped:
        listed = "".join(f"\n  {place}: {why}" for place, why in skipped.items())
        step = f"\nto check these too, once you have read its plugin:  m3di --plugin {root} verify {root}"
        click.echo(f"left out, not derived again:{listed}{step if manifest.parsed_spec.plugins else ''}")
