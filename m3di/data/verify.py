"""Is a dataset what its manifest says? Counts, sizes and SHA-256 of every file, recomputed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from m3di.data.manifest import MANIFEST, FileEntry, Manifest, read_manifest
from m3di.data.shards import read_shard, sample_key, sha256_of
from m3di.data.table import read_table
from m3di.errors import M3diError


def verify(root: Path) -> Manifest:
    """Check every file of a dataset, and return its manifest.

    Raises:
        M3diError: Something is missing, damaged or too much; the message names every such file.
    """
    manifest = read_manifest(root)
    problems = list(_problems(root, manifest))
    if problems:
        listed = "".join(f"\n  - {problem}" for problem in problems)
        raise M3diError(
            f"the dataset is damaged; {len(problems)} of its files are not what {MANIFEST} says:{listed}",
            where=str(root),
            next_step="delete the files named, then run the same `m3di render` command: it renders what is missing",
        )
    return manifest


def _problems(root: Path, manifest: Manifest) -> Iterator[str]:
    for split, entry in manifest.splits.items():
        first = 0
        for shard in entry.shards:
            yield from _file_problems(root, shard) or _shard_problems(root, manifest, shard, first)
            first += shard.n_samples
        yield from _file_problems(root, entry.table) or _table_problems(root, entry.table)
        if not first == entry.n_samples == manifest.n_samples[split]:
            yield f"{MANIFEST}: the shards of {split} hold {first} samples, expected {manifest.n_samples[split]}"
        extra = {path.name for path in root.glob(f"{split}-*.tar")} - {shard.file for shard in entry.shards}
        yield from (f"{name}: not part of the dataset" for name in sorted(extra))


def _file_problems(root: Path, entry: FileEntry) -> list[str]:
    path = root / entry.file
    if not path.is_file():
        return [f"{entry.file}: missing"]
    n_bytes = path.stat().st_size
    if n_bytes != entry.n_bytes:
        return [f"{entry.file}: {n_bytes} bytes, expected {entry.n_bytes}"]
    digest = sha256_of(path)
    return [] if digest == entry.sha256 else [f"{entry.file}: sha256 {digest}, expected {entry.sha256}"]


def _shard_problems(root: Path, manifest: Manifest, entry: FileEntry, first: int) -> list[str]:
    try:
        found = list(read_shard(root / entry.file))
    except M3diError as error:
        return [f"{entry.file}: {error.what}"]
    keys = [sample.key for sample in found]
    if keys != [sample_key(first + index) for index in range(entry.n_samples)]:
        return [f"{entry.file}: {len(keys)} samples, expected {entry.n_samples} in order from {sample_key(first)}"]
    expected = set(manifest.extensions.values())
    wrong = [sample.key for sample in found if set(sample.members) != expected]
    return [f"{entry.file}: sample {wrong[0]} does not have exactly {sorted(expected)}"] if wrong else []


def _table_problems(root: Path, entry: FileEntry) -> list[str]:
    n_rows = read_table(root / entry.file, columns=["key"]).num_rows
    return [] if n_rows == entry.n_samples else [f"{entry.file}: {n_rows} rows, expected {entry.n_samples}"]
