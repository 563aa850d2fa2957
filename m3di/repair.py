"""Render anew what is bad in a dataset, and nothing else."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from m3di import __version__, data
from m3di.errors import M3diError
from m3di.generate import (
    Progress,
    RenderOptions,
    check_failures,
    finish,
    render_missing,
    render_settings,
    user_shapes_of,
)
from m3di.latents import Spec
from m3di.render import ANNOTATIONS, PASSES, RenderPool


def repair(root: Path, n_workers: int | None = None, progress: Progress | None = None) -> list[str]:
    """Render anew the images of a dataset that are bad, and write their shards, tables and documents anew.

    Good images of a damaged shard are kept. The spec with its interventions, the seed and the settings come from the
    manifest. Interrupted, run it again.

    Returns:
        Names of the files that were bad.

    Raises:
        M3diError: The manifest itself is damaged, or the dataset cannot be rendered here.
    """
    manifest = data.read_manifest(root)
    problems = data.find_problems(root, manifest)
    bad = sorted({problem.file for problem in problems})
    if not bad:
        return []
    check_repairable(root, manifest, problems)
    spec = manifest.parsed_spec
    plan = data.plan_of(manifest)
    known = {entry.file for entry in manifest.files}
    shards = [shard for split in manifest.splits.values() for shard in split.shards if shard.file in bad]
    with data.sole_run(root), data.disk_errors(root):
        for name in bad:
            # What interrupted runs left is kept until the end: it holds finished images.
            if name not in known and not name.endswith(data.PARTIAL):
                (root / name).unlink(missing_ok=True)
        if shards:
            _take_apart(root, manifest, bad)
            _render_missing(root, manifest, spec, n_workers, progress)
            # What no checksum inside a shard has shown: then none of its images is to be trusted.
            differing = [root / shard.file for shard in shards if data.sha256_of(root / shard.file) != shard.sha256]
            for path in differing:
                path.unlink()
            if differing:
                _render_missing(root, manifest, spec, n_workers, progress)
        finish(root, spec, plan)
    return bad


def _take_apart(root: Path, manifest: data.Manifest, bad: list[str]) -> None:
    """Put the good images of bad shards where a run that was interrupted keeps its finished ones."""
    for split in manifest.splits.values():
        table = None if split.table.file in bad else root / split.table.file
        for shard in split.shards:
            if shard.file not in bad:
                continue
            journal = data.ImageJournal(root / shard.file)
            try:
                for image in data.sound_images(root, manifest, shard, table, tuple(ANNOTATIONS)):
                    if (image.key, image.view) not in journal:
                        journal.append(image)
            finally:
                journal.close()
            (root / shard.file).unlink(missing_ok=True)


def _render_missing(
    root: Path, manifest: data.Manifest, spec: Spec, n_workers: int | None, progress: Progress | None
) -> None:
    plan = data.plan_of(manifest)
    quality, size_px = manifest.render["quality"], manifest.render["size_px"]
    gpu = manifest.render["device"] == "gpu"
    passes = tuple(name for name in PASSES if any(part.endswith(f".{name}") for part in plan.extensions))
    options = RenderOptions(
        root, size_px=size_px, quality=quality, gpu=gpu, n_workers=n_workers, passes=passes
    ).resolved(spec)
    with RenderPool(render_settings(options, user_shapes_of(spec)), options.n_workers) as pool:
        pool.check()
        check_failures(root, render_missing(spec, plan, root, pool, progress))


def check_repairable(root: Path, manifest: data.Manifest, problems: list[data.Problem]) -> None:
    """Raise where bad files cannot be made anew.

    Raises:
        M3diError: The manifest is damaged, the samples are not rendered ones, or another Blender rendered them.
    """
    damaged = [str(problem) for problem in problems if problem.file == data.MANIFEST]
    if damaged:
        raise M3diError(
            "the manifest is damaged: what the dataset should be is not known",
            where=str(root),
            got="; ".join(damaged),
            next_step=f"restore {data.MANIFEST} from a copy, or render the dataset anew",
        )
    if manifest.source != "rendered":
        raise M3diError(
            f"a dataset that was {manifest.source} cannot be rendered anew",
            where=str(root),
            got="; ".join(map(str, problems)),
            next_step="make it again from the datasets or files that it came from",
        )
    here = {"m3di": __version__, "bpy": version("bpy")}
    other = {name: manifest.render[name] for name in here if manifest.render[name] != here[name]}
    if other:
        raise M3diError(
            "other versions rendered this dataset: new images would not match the others",
            where=str(root),
            got=", ".join(f"{name} {here[name]}" for name in other),
            expected=", ".join(f"{name} {each}" for name, each in other.items()),
            next_step="install those versions, or render the dataset anew",
        )
