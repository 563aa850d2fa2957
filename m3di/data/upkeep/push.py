"""Bring a finished dataset to another place: whole, compared file by file, the manifest last."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from m3di.data.format.entries import FileEntry
from m3di.data.format.manifest import MANIFEST, Manifest, manifest_in, read_manifest
from m3di.data.format.seal import CARD
from m3di.data.format.shards import sha256_of
from m3di.data.storage.places import Folder, LocalFolder, digest, local_path, open_folder, original_of
from m3di.data.storage.upload import upload
from m3di.data.unfinished.claim import make_folder
from m3di.data.unfinished.whole_folder import WRITING
from m3di.errors import DataError, M3diError, UsageError, without_credentials
from m3di.system.lock import LOCK, hold_folder


def push(
    root: str | os.PathLike[str], url: str | os.PathLike[str], on_file: Callable[[str], None] = lambda name: None
) -> Manifest:
    """Copy a dataset to a URL. The same call again continues: files that are there already stay as they are.

    A card that was edited goes as it is.

    Args:
        root: Folder of the dataset.
        url: A folder or any URL of fsspec: `s3://BUCKET/DATA`, `hf://datasets/OWNER/NAME`.
        on_file: Called with the name of each file, once it is there.

    Returns:
        The manifest of the dataset.

    Raises:
        M3diError: There is no dataset, another one is at the URL, another process writes into that folder, or the
            storage fails.
        UsageError: `root` is a URL, or the other folder is the same one or lies in it.
    """
    here = local_path(root)
    there = open_folder(url)
    if isinstance(there, LocalFolder):
        _check_apart(here, there.root)
        there = LocalFolder(there.root, may_link=False)  # two datasets: what becomes of one is not to reach the other
    manifest = read_manifest(here)
    is_whole = there.exists(MANIFEST)
    if is_whole and manifest_in(there) != manifest:
        raise _in_the_way(there, MANIFEST)
    with ExitStack() as stack:
        if isinstance(there, LocalFolder) and not is_whole:
            make_folder(there.root)
            stack.enter_context(hold_folder(there.root, LOCK, WRITING))
        _send(here, there, manifest, on_file)
    return manifest


def _send(here: Path, there: Folder, manifest: Manifest, on_file: Callable[[str], None]) -> None:
    entries = (*_files(here, manifest), _entry_of(here / MANIFEST))
    if there.shows_growing_files:  # what a killed call left
        names = {entry.file for entry in entries}
        there.remove([name for name in there.sizes() if original_of(name) in names])
    for entry in entries:  # a dataset whose manifest is there is whole
        if not there.exists(entry.file):
            _check_unchanged(here / entry.file, entry)
            upload(there, here / entry.file, entry)
        elif digest(there, entry.file) != (entry.n_bytes, entry.sha256):
            raise _in_the_way(there, entry.file)
        on_file(entry.file)


def _check_apart(here: Path, there: Path) -> None:
    """Raise unless a folder lies outside of the dataset."""
    if there.resolve().is_relative_to(here.resolve()):
        raise UsageError(
            "a dataset is pushed to another place",
            where=str(there),
            got="the same folder twice" if there.resolve() == here.resolve() else f"a folder in the dataset {here}",
            expected="a folder outside of it, or a URL",
            next_step="name another place",
        )


def _files(here: Path, manifest: Manifest) -> Iterator[FileEntry]:
    for entry in manifest.documents:  # a card may have been edited, and goes as it is; `verify` allows it, too
        card = here / entry.file
        is_card = entry.file == CARD and card.is_file() and card.stat().st_size > 0
        yield _entry_of(card) if is_card else entry
    for split in manifest.splits.values():
        yield from split.shards
        yield split.table


def _entry_of(path: Path) -> FileEntry:
    return FileEntry(file=path.name, n_bytes=path.stat().st_size, sha256=sha256_of(path))


def _check_unchanged(path: Path, entry: FileEntry) -> None:
    """Compare a file with the manifest before it goes out."""
    found = sha256_of(path) if path.is_file() else "no file"
    if found != entry.sha256:
        raise DataError(
            "a file of the dataset is not as it was made",
            where=str(path),
            got=found,
            expected=f"SHA-256 {entry.sha256}",
            next_step="m3di verify ROOT tells all that is wrong, and --repair mends what can be rendered again",
        )


def _in_the_way(folder: Folder, name: str) -> M3diError:
    return M3diError(
        "something else is there already",
        where=without_credentials(folder.path(name)),
        got="a file with other bytes",
        expected="no file of this name, or the very same",
        next_step="choose another URL, or remove what is there",
    )
