"""Finish a dataset: write tables, documents and the manifest once all shards are there."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from pathlib import Path

from m3di import __version__, data
from m3di.errors import M3diError
from m3di.generate.parts import Part, missing_parts
from m3di.generate.plan import Shard, shards_of
from m3di.latents import LATENTS, Spec, captions, sample, spec_from_dict

MAX_SHOWN = 20


def finalize(folder: data.Folder) -> data.Manifest:
    """Finish a dataset that several runs have rendered, once all its shards are there.

    Raises:
        M3diError: There is no dataset, another version of m3di rendered it, or shards are missing: it names them, and
            the parts that they belong to.
    """
    manifest = data.finished_manifest(folder)
    if manifest is not None:
        data.remove_leftovers(folder)
        return manifest
    names = folder.sizes()
    plan = data.plan_of(data.manifest_in(folder)) if data.MANIFEST in names else _noted_plan(folder, names)
    _check_version(folder, plan)
    return finish(folder, spec_from_dict(plan.spec, where=str(folder), stored=True), plan)


def _check_version(folder: data.Folder, plan: data.Plan) -> None:
    """Check that tables and documents come from the version that the manifest will name; no image needs Blender."""
    noted = plan.render["m3di"]
    if noted != __version__:
        raise M3diError(
            "another version of m3di rendered this dataset, and the same one finishes it",
            where=str(folder),
            got=f"m3di {__version__}",
            expected=f"m3di {noted}",
            next_step="install that version, or render the dataset again",
        )


def _noted_plan(folder: data.Folder, names: Mapping[str, int]) -> data.Plan:
    """Read the plan of an unfinished dataset."""
    plan = data.noted_plan(folder, names)
    if plan is None and any(map(data.is_plan_note, names)):
        raise data.damaged_plan(folder)
    if plan is None:
        raise M3diError(
            "there is no dataset to finish here",
            where=str(folder),
            got=f"neither {data.PLAN} nor {data.MANIFEST}",
            next_step="check the path; its parts come first: the dataset's `m3di render` command with --shards I/N",
        )
    return plan


def finish(folder: data.Folder, spec: Spec, plan: data.Plan) -> data.Manifest:
    """Write tables, documents and, last, the manifest of a folder that has all its shards. Of a remote folder, only
    receipts and one shard are read.

    Raises:
        M3diError: Shards are missing, or one is not as it was written.
    """
    names = folder.sizes()
    check_all_there(folder, plan, names)
    with data.folder_to_write(folder) as here:
        manifest = _seal(folder, here, spec, plan, names)
        for entry in (*(split.table for split in manifest.splits.values()), *manifest.documents):
            data.upload(folder, here / entry.file, entry)
        data.upload(folder, here / data.MANIFEST, data.file_entry(here / data.MANIFEST, 0))
    data.remove_leftovers(folder)
    return manifest


def check_all_there(folder: data.Folder, plan: data.Plan, names: Mapping[str, int]) -> None:
    """Check that all shards are there.

    Raises:
        M3diError: Some are missing: it names them, and the parts that they belong to.
    """
    missing = [(index, shard.name) for index, shard in enumerate(shards_of(plan)) if shard.name not in names]
    if not missing:
        return
    parts = missing_parts([index for index, _ in missing], _parts_seen(folder, names))
    shown = [name for _, name in missing[:MAX_SHOWN]]
    listed = ", ".join(shown) + (f" and {len(missing) - len(shown)} more" if len(missing) > len(shown) else "")
    if parts:
        first = ", ".join(map(str, parts[:MAX_SHOWN]))
        more = f" and {len(parts) - MAX_SHOWN} more" if len(parts) > MAX_SHOWN else ""
        listed += f"\n            of the parts {first}{more}"
    raise M3diError(
        "1 shard is missing" if len(missing) == 1 else f"{len(missing)} shards are missing",
        where=str(folder),
        got=listed,
        next_step=f"run these parts again: --shards {parts[0]} and so on" if parts else "run the same command again",
    )


def _parts_seen(folder: data.Folder, names: Mapping[str, int]) -> Part | None:
    """Return one of the parts that finished a shard, by a receipt; None if nobody rendered in parts."""
    ending = data.receipt_name("")
    shard = next((name.removesuffix(ending) for name in names if name.endswith(ending)), None)
    text = data.read_receipt(folder, shard).part if shard else ""
    return Part.parse(text) if text else None


def receipt_of(root: Path, spec: Spec, plan: data.Plan, shard: Shard, part: Part | None = None) -> data.Receipt:
    """Make the receipt of a finished shard in a local folder.

    Raises:
        M3diError: It is no readable archive, or does not hold the samples that it should.
    """
    path = root / shard.name
    found = list(data.read_shard(path))
    if [each.key for each in found] != shard.keys:
        raise M3diError(
            "a shard does not hold its samples",
            where=str(path),
            got=f"{len(found)} samples",
            expected=f"{shard.n}, from {shard.keys[0]} to {shard.keys[-1]}",
            next_step="delete it, then run the same `m3di render` command: it is rendered again",
        )
    samples = sample(spec, shard.split, shard.n, seed=plan.seed, start=shard.start)
    texts = {name: captions(samples, name) for name in spec.told}
    # Read the shard, not memory: only it knows what an interrupted run rendered before.
    images = list(spec.rendered)
    seen = data.read_annotations(root, [(shard.name, found)], plan.extensions[LATENTS], images, plan.noted)
    rows = data.shard_rows(samples, texts, shard.name, found, seen)
    return data.Receipt(data.file_entry(path, shard.n), rows, str(part or ""), data.noted_devices(root))


def _seal(folder: data.Folder, here: Path, spec: Spec, plan: data.Plan, names: Mapping[str, int]) -> data.Manifest:
    """Write tables, documents and manifest into the local folder `here`; memory holds one row group at a time."""
    splits, devices = {}, set(data.noted_devices(here))
    for split, shards in groupby(shards_of(plan), key=lambda shard: shard.split):
        entries = []
        table = data.TableWriter(here / f"{split}.parquet")
        try:
            for shard in shards:
                receipt = _kept_receipt(folder, here, spec, plan, shard, names)
                entries.append(receipt.entry)
                devices |= {*receipt.devices}
                table.add(receipt.rows)
            table.finish()
        finally:
            table.close()
        n = plan.n_samples[split]
        splits[split] = data.SplitEntry(
            n_samples=n, shards=tuple(entries), table=data.file_entry(here / f"{split}.parquet", n)
        )
    first = next(shards_of(plan), None)
    if first is not None:
        data.fetch(folder, first.name, here)  # for the sample picture
    return data.seal(here, plan, splits, devices, created=_day_begun(folder, names))


def _day_begun(folder: data.Folder, names: Mapping[str, int]) -> str:
    """Return the day that the dataset states, if it was finished before, else that of its first run."""
    if data.MANIFEST in names:
        return data.manifest_in(folder).created
    return data.noted_day(names) or data.today()


def _kept_receipt(
    folder: data.Folder, here: Path, spec: Spec, plan: data.Plan, shard: Shard, names: Mapping[str, int]
) -> data.Receipt:
    """Read the receipt of a shard; if none was kept, make it from the shard itself."""
    name = data.receipt_name(shard.name)
    if name not in names:
        fetched = data.fetch(folder, shard.name, here)
        receipt = receipt_of(here, spec, plan, shard)
        if fetched:
            (here / shard.name).unlink()
        return receipt
    receipt = data.read_receipt(folder, shard.name)
    if receipt.entry.n_bytes != names[shard.name] or receipt.rows.num_rows != shard.n:
        raise M3diError(
            "a shard is not what its receipt says",
            where=folder.path(shard.name),
            got=f"{names[shard.name]} bytes, expected {receipt.entry.n_bytes}",
            next_step=f"delete it and {name}, then render its part again",
        )
    return receipt
