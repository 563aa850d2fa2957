"""Is a dataset what its manifest says, and is what it says true? Every file and every sample, recomputed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from m3di.data.manifest import MANIFEST, FileEntry, Manifest, read_manifest, to_json
from m3di.data.parquet import UNREADABLE, read_parquet
from m3di.data.shards import PARTIAL, ShardSample, read_shard, sample_key, sha256_of
from m3di.data.verify_samples import SampleChecks
from m3di.errors import M3diError


@dataclass(frozen=True)
class Problem:
    """Something wrong with a file of a dataset."""

    file: str
    what: str

    def __str__(self) -> str:
        return f"{self.file}: {self.what}"


def verify(root: Path, *, quick: bool = False) -> Manifest:
    """Check a dataset, and return its manifest.

    Args:
        root: Its folder.
        quick: Structure only: sizes, tar members, keys, rows; no hashes, no images, no latents.

    Raises:
        M3diError: Something is missing, damaged or too much; the message names every such file.
    """
    manifest = read_manifest(root)
    problems = find_problems(root, manifest, quick=quick)
    if problems:
        listed = "".join(f"\n  - {problem}" for problem in problems)
        n_files = len({problem.file for problem in problems})
        raise M3diError(
            f"the dataset is damaged; {n_files} of its files are not what they should be:{listed}",
            where=str(root),
            next_step=f"m3di verify {root} --repair  renders what is bad anew",
        )
    return manifest


def find_problems(root: Path, manifest: Manifest, *, quick: bool = False) -> list[Problem]:
    """Everything that is wrong with a dataset."""
    return list(_problems(root, manifest, quick))


def _problems(root: Path, manifest: Manifest, quick: bool) -> Iterator[Problem]:
    if (root / MANIFEST).read_bytes() != to_json(manifest) or manifest.sealed() != manifest:
        yield Problem(MANIFEST, "not as it was written: its checksum or its layout is wrong")
    for split, entry in manifest.splits.items():
        table = _table(root, entry.table, quick)
        yield from [table] if isinstance(table, Problem) else []
        checks = None if quick or isinstance(table, Problem) else SampleChecks(manifest, split, table)
        if checks is not None:
            yield from (Problem(entry.table.file, what) for what in checks.table_problems())
        first = 0
        for shard in entry.shards:
            problem = _file_problem(root, shard, quick)
            yield from [problem] if problem else _shard_problems(root, manifest, shard, first, checks)
            first += shard.n_samples
        if not first == entry.n_samples == manifest.n_samples[split]:
            what = f"the shards of {split} hold {first} samples, expected {manifest.n_samples[split]}"
            yield Problem(MANIFEST, what)
        extra = {path.name for path in root.glob(f"{split}-*.tar")} - {shard.file for shard in entry.shards}
        yield from (Problem(name, "not part of the dataset") for name in sorted(extra))
    for document in manifest.documents:
        problem = _file_problem(root, document, quick)
        yield from [problem] if problem else []
    yield from (Problem(path.name, "left by an interrupted run") for path in sorted(root.glob(f"*{PARTIAL}")))


def _file_problem(root: Path, entry: FileEntry, quick: bool) -> Problem | None:
    path = root / entry.file
    if not path.is_file():
        return Problem(entry.file, "missing")
    n_bytes = path.stat().st_size
    if n_bytes != entry.n_bytes:
        return Problem(entry.file, f"{n_bytes} bytes, expected {entry.n_bytes}")
    digest = entry.sha256 if quick else sha256_of(path)
    return None if digest == entry.sha256 else Problem(entry.file, f"sha256 {digest}, expected {entry.sha256}")


def _table(root: Path, entry: FileEntry, quick: bool) -> pa.Table | Problem:
    problem = _file_problem(root, entry, quick)
    if problem is not None:
        return problem
    try:
        table = read_parquet(root / entry.file, ["key"] if quick else None)
    except UNREADABLE as error:
        return Problem(entry.file, f"no readable table: {error}")
    if table.num_rows != entry.n_samples:
        return Problem(entry.file, f"{table.num_rows} rows, expected {entry.n_samples}")
    if table["key"].to_pylist() != [sample_key(index) for index in range(entry.n_samples)]:
        return Problem(entry.file, f"its keys do not count up from {sample_key(0)}")
    return table


def _shard_problems(
    root: Path, manifest: Manifest, entry: FileEntry, first: int, checks: SampleChecks | None
) -> list[Problem]:
    try:
        found = list(read_shard(root / entry.file))
    except M3diError as error:
        return [Problem(entry.file, error.what)]
    keys = [sample.key for sample in found]
    if keys != [sample_key(first + index) for index in range(entry.n_samples)]:
        what = f"{len(keys)} samples, expected {entry.n_samples} in order from {sample_key(first)}"
        return [Problem(entry.file, what)]
    expected = set(manifest.extensions.values())
    wrong = [sample.key for sample in found if set(sample.members) != expected]
    if wrong:
        return [Problem(entry.file, f"sample {wrong[0]} does not have exactly {sorted(expected)}")]
    return _content_problems(root, entry, found, first, checks) if checks is not None else []


def _content_problems(
    root: Path, entry: FileEntry, found: list[ShardSample], first: int, checks: SampleChecks
) -> list[Problem]:
    """The first wrong sample of a shard: one is enough to render it anew."""
    with (root / entry.file).open("rb") as stream:
        for number, sample in enumerate(found):
            contents = {}
            for extension, member in sample.members.items():
                stream.seek(member.offset)
                contents[extension] = stream.read(member.size)
            for what in checks.sample_problems(first + number, entry.file, sample, contents):
                return [Problem(entry.file, f"sample {sample.key}: {what}")]
    return []
