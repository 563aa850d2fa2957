"""Verify a dataset against its manifest and its spec: every file and every sample is checked."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import pyarrow as pa

from m3di.data.format.assemble import Count
from m3di.data.format.entries import FileEntry
from m3di.data.format.manifest import MANIFEST, Manifest, to_json
from m3di.data.format.parquet import UNREADABLE, read_parquet, read_parquet_metadata
from m3di.data.format.seal import CARD
from m3di.data.format.shards import ShardSample, read_shard, sample_key, sha256_of
from m3di.data.format.table_checks import metadata_problems, table_problems
from m3di.data.load.sources import ShardSource, open_shards
from m3di.data.storage.places import Folder, LocalFolder
from m3di.data.storage.upload import on_this_machine
from m3di.data.upkeep.verify_samples import SampleChecks
from m3di.errors import DataError, M3diError
from m3di.system.files import PARTIAL

FEW = 1000
"""Images that a hint may offer to render."""


@dataclass(frozen=True)
class DataProblem:
    """A problem of a file of a dataset; a note is a difference that its owner may have wanted."""

    file: str
    what: str
    is_note: bool = False

    def __str__(self) -> str:
        return f"{self.file}: {self.what}"


def verify(
    root: str | os.PathLike[str],
    *,
    quick: bool = False,
    on_note: Callable[[DataProblem], object] = lambda note: None,
    on_problem: Callable[[DataProblem], object] = lambda problem: None,
    count: Count | None = None,
) -> Manifest:
    """Check a dataset, and return its manifest.

    Args:
        root: Its folder, or its URL: then every file is fetched once.
        quick: Structure only: sizes, tar members, keys, rows; no hashes, no images, no latents.
        on_note: Called with differences that are no damage: an edited card.
        on_problem: Called with each problem, before the error that names them all.
        count: Told how many samples are checked, of how many.

    Raises:
        M3diError: Files are missing, damaged or foreign; the message names them all.

    Example:
        >>> from m3di import verify
        >>> verify("data/m3di").seed
        0
    """
    source = open_shards(root)
    found = find_problems(source.folder, source.manifest, quick=quick, count=count)
    for each in found:
        (on_note if each.is_note else on_problem)(each)
    problems = [problem for problem in found if not problem.is_note]
    if problems:
        listed = "".join(f"\n  - {problem}" for problem in problems)
        n_files = len({problem.file for problem in problems})
        raise DataError(
            f"the dataset is damaged; {n_files} of its files are not what they should be:{listed}",
            where=str(root),
            next_step=_next_step(str(root), source, problems),
        )
    return source.manifest


def _next_step(root: str, source: ShardSource, problems: list[DataProblem]) -> str:
    """Say what to do about problems; never name a command that renders for hours."""
    manifest, bad = source.manifest, {problem.file for problem in problems}
    repair = f"m3di verify {root} --repair"
    if MANIFEST in bad:
        return f"restore {MANIFEST} from a copy: it says what the dataset should be"
    if not isinstance(source.folder, LocalFolder):
        return "put the dataset there once more, from the copy that it was made from"
    data = {entry.file for entry in manifest.files} - {entry.file for entry in manifest.documents}
    if not bad & data:
        return f"{repair}  puts that in order; nothing is rendered"
    if manifest.source != "rendered":
        return f"make it again from what it was {manifest.source} from"
    shards = [shard for split in manifest.splits.values() for shard in split.shards if shard.file in bad]
    n = sum(shard.n_samples for shard in shards) * len(manifest.parsed_spec.rendered)
    if n <= FEW:
        return f"{repair}  renders up to {n} images again" if n else f"{repair}  writes that again; nothing is rendered"
    return f"restore these files from a copy; to repair would be to render up to {n:,} images"


def find_problems(
    root: Path | Folder, manifest: Manifest, *, quick: bool = False, count: Count | None = None
) -> list[DataProblem]:
    """List all problems of a dataset, and notes."""
    return list(_problems(LocalFolder(root) if isinstance(root, Path) else root, manifest, quick, _Counter(count)))


@dataclass
class _Counter:
    """Counts samples within shards, and shards whose rest is not looked at."""

    count: Count | None
    n_total: int = 0
    n_before: int = 0

    def sample(self, number: int) -> None:
        """Tell that a sample of the shard is checked."""
        if self.count is not None:
            self.count(self.n_before + number + 1, self.n_total)

    def shard(self, n: int) -> None:
        """Tell that a shard is."""
        self.n_before += n
        if self.count is not None:
            self.count(self.n_before, self.n_total)


def _problems(folder: Folder, manifest: Manifest, quick: bool, counter: _Counter) -> Iterator[DataProblem]:
    counter.n_total = sum(shard.n_samples for entry in manifest.splits.values() for shard in entry.shards)
    if folder.read(MANIFEST) != to_json(manifest) or manifest.sealed() != manifest:
        yield DataProblem(MANIFEST, "not as it was written: its checksum or its layout is wrong")
    sizes = folder.sizes()
    for split, entry in manifest.splits.items():
        table = _table(folder, manifest, split, quick)
        yield from [table] if isinstance(table, DataProblem) else []
        checks = None if quick or isinstance(table, DataProblem) else SampleChecks(manifest, split, table)
        if checks is not None:
            yield from (DataProblem(entry.table.file, what) for what in checks.table_problems())
        first = 0
        for shard in entry.shards:
            with _sound_file(folder, shard, quick) as path:
                yield from (
                    [path]
                    if isinstance(path, DataProblem)
                    else _shard_problems(path, manifest, shard, first, checks, counter)
                )
            first += shard.n_samples
            counter.shard(shard.n_samples)
        if not first == entry.n_samples == manifest.n_samples[split]:
            what = f"the shards of {split} hold {first} samples, expected {manifest.n_samples[split]}"
            yield DataProblem(MANIFEST, what)
        extra = {name for name in sizes if fnmatch(name, f"{split}-*.tar")} - {shard.file for shard in entry.shards}
        yield from (DataProblem(name, "not part of the dataset") for name in sorted(extra))
    for document in manifest.documents:
        with _sound_file(folder, document, quick) as found:
            if isinstance(found, DataProblem):
                edited = document.file == CARD and folder.exists(CARD) and folder.size(CARD) > 0
                yield DataProblem(CARD, "edited since it was written; it is kept", is_note=True) if edited else found
    leftovers = sorted(name for name in sizes if name.endswith(PARTIAL))
    yield from (DataProblem(name, "left by an interrupted run") for name in leftovers)


@contextmanager
def _sound_file(folder: Folder, entry: FileEntry, quick: bool) -> Iterator[Path | DataProblem]:
    """A file on this machine, or what is wrong with it."""
    if not folder.exists(entry.file):
        yield DataProblem(entry.file, "missing")
        return
    n_bytes = folder.size(entry.file)
    if n_bytes != entry.n_bytes:
        yield DataProblem(entry.file, f"{n_bytes} bytes, expected {entry.n_bytes}")
        return
    with on_this_machine(folder, entry.file) as path:
        digest = entry.sha256 if quick else sha256_of(path)
        yield (path if digest == entry.sha256 else DataProblem(entry.file, f"sha256 {digest}, expected {entry.sha256}"))


def _table(folder: Folder, manifest: Manifest, split: str, quick: bool) -> pa.Table | DataProblem:
    entry = manifest.splits[split].table
    with _sound_file(folder, entry, quick) as path:
        if isinstance(path, DataProblem):
            return path
        try:
            what = next(metadata_problems(read_parquet_metadata(path), entry.n_samples), None)
            if what is not None:
                return DataProblem(entry.file, what)
            table = read_parquet(path, ["key"] if quick else None)
            if quick and table.column_names != ["key"]:
                return DataProblem(entry.file, "column key is missing")
            what = None if quick else next(table_problems(table, manifest, manifest.parsed_spec, split), None)
            if what is not None:
                return DataProblem(entry.file, what)
        except UNREADABLE as error:
            return DataProblem(entry.file, f"no readable table: {error}")
    if table["key"].to_pylist() != [sample_key(index) for index in range(entry.n_samples)]:
        return DataProblem(entry.file, f"its keys do not count up from {sample_key(0)}")
    return table


def _shard_problems(
    path: Path, manifest: Manifest, entry: FileEntry, first: int, checks: SampleChecks | None, counter: _Counter
) -> list[DataProblem]:
    try:
        found = list(read_shard(path))
    except M3diError as error:
        return [DataProblem(entry.file, error.what)]
    keys = [sample.key for sample in found]
    if keys != [sample_key(first + index) for index in range(entry.n_samples)]:
        what = f"{len(keys)} samples, expected {entry.n_samples} in order from {sample_key(first)}"
        return [DataProblem(entry.file, what)]
    expected = set(manifest.extensions.values())
    wrong = [sample.key for sample in found if set(sample.members) != expected]
    if wrong:
        return [DataProblem(entry.file, f"sample {wrong[0]} does not have exactly {sorted(expected)}")]
    return _content_problems(path, entry, found, first, checks, counter) if checks is not None else []


def _content_problems(
    path: Path, entry: FileEntry, found: list[ShardSample], first: int, checks: SampleChecks, counter: _Counter
) -> list[DataProblem]:
    """Return the first wrong sample of a shard: one is enough to render it again."""
    with path.open("rb") as stream:
        for number, sample in enumerate(found):
            contents = {}
            for extension, member in sample.members.items():
                stream.seek(member.offset)
                contents[extension] = stream.read(member.size)
            for what in checks.sample_problems(first + number, entry.file, sample, contents):
                return [DataProblem(entry.file, f"sample {sample.key}: {what}")]
            counter.sample(number)
    return []
