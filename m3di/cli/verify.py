"""`m3di verify`: check a dataset, and repair it."""

from __future__ import annotations

from typing import Any

import click

from m3di.cli.command import command
from m3di.cli.from_fields import RENDER, options_of
from m3di.cli.options import PLACE, WORKERS, refuse_given
from m3di.cli.progress import progress_bar, watched_bar
from m3di.cli.telling import JSON, note, print_json, say
from m3di.errors import DataError, UsageError, without_credentials


@command(
    examples=(
        "m3di verify data/m3di",
        "m3di verify data/m3di --quick --json",
        "m3di verify data/m3di --repair --workers 1",
    )
)
@PLACE
@click.option("--quick", is_flag=True, help="Structure only: sizes, members, rows; no hashes, images or latents.")
@click.option("--repair", is_flag=True, help="Render bad images again, and remove files that do not belong there.")
@options_of(RENDER, *WORKERS)
@JSON
def verify(root: str, quick: bool, repair: bool, as_json: bool, **workers: Any) -> None:
    """Check every file and every sample of a dataset. Options about workers and GPUs are those of --repair."""
    if repair and quick:
        raise UsageError(
            "a repair checks every file and sample",
            where="--quick",
            expected="--repair without it",
            next_step="leave --quick out",
        )
    if repair:
        _repair(root, as_json, {name: value for name, value in workers.items() if value is not None})
        return
    refuse_given(workers, "--repair")
    if as_json:
        _print_checked(root, quick)
        return
    from m3di.data import DataProblem, left_out
    from m3di.data import verify as verify_dataset

    notes: list[DataProblem] = []
    with progress_bar("verify", "samples") as count:
        manifest = verify_dataset(root, quick=quick, on_note=notes.append, count=count)
    root = without_credentials(root)
    for each in notes:
        note(each)
    checked = "have the right structure" if quick else "are as they were made"
    n_files = len(manifest.files) - len(notes)
    say(f"{root}: all {n_files} {'other ' * bool(notes)}files {checked}")
    skipped = {} if quick else left_out(manifest)
    if skipped:
        listed = "".join(f"\n  {place}: {why}" for place, why in skipped.items())
        step = f"\nto check these too, once you have read its plugin:  m3di --plugin {root} verify {root}"
        say(f"left out, not derived again:{listed}{step if manifest.parsed_spec.plugins else ''}")


def _print_checked(root: str, quick: bool) -> None:
    """Print what was found as JSON, also if the dataset is damaged; then the error follows on stderr."""
    from m3di.data import MANIFEST, DataProblem, left_out, open_folder
    from m3di.data import verify as verify_dataset

    notes: list[DataProblem] = []
    problems: list[DataProblem] = []
    found: dict[str, Any] = {"root": without_credentials(root), "quick": quick, "sound": False}
    found |= {"samples": None, "n_files": None, "left_out": {}}  # of a damaged dataset
    error: DataError | None = None
    try:
        with progress_bar("verify", "samples") as count:
            manifest = verify_dataset(root, quick=quick, on_note=notes.append, on_problem=problems.append, count=count)
        found |= {"sound": True, "samples": manifest.n_samples, "n_files": len(manifest.files)}
        found["left_out"] = {} if quick else left_out(manifest)
    except DataError as raised:
        if not problems and not open_folder(root).exists(MANIFEST):  # there is no dataset
            raise
        problems = problems or [DataProblem(MANIFEST, raised.what)]
        error = raised
    for name, each in (("problems", problems), ("notes", notes)):
        found[name] = [{"file": problem.file, "what": problem.what} for problem in each]
    print_json(found)
    if error is not None:
        raise error


def _repair(root: str, as_json: bool, workers: Any) -> None:
    from m3di.data import LocalFolder, open_folder
    from m3di.generate.repair import repair as repair_dataset

    folder = open_folder(root)
    if not isinstance(folder, LocalFolder):
        raise UsageError(
            "a dataset at a URL cannot be repaired there",
            where=root,
            next_step="copy it to a folder of this machine, repair that copy, and upload it again",
        )
    with watched_bar("repair") as (count, watch):
        bad = repair_dataset(folder.root, count, watch, **workers)
    made, removed = ([name for name in bad if (folder.root / name).exists() is there] for there in (True, False))
    if as_json:
        print_json({"root": root, "made_again": made, "removed": removed})
        return
    done = [f"{what}: {', '.join(names)}" for what, names in (("made again", made), ("removed", removed)) if names]
    say(f"{root}: {'; '.join(done) or 'nothing to repair'}")
