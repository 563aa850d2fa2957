"""Upload finished files to the folder of a dataset: whole, and compared with the original."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from m3di.data.format.entries import FileEntry
from m3di.data.storage.errors import CANNOT_READ, reporting
from m3di.data.storage.places import BLOCK, Folder, LocalFolder, digest, unique
from m3di.errors import M3diError

N_TRIES = 3


def upload(folder: Folder, path: Path, entry: FileEntry) -> None:
    """Copy a file of this machine to a folder, read it back, and give it its name; the original stays. A file that lies
    in that folder already is left alone.

    If others can see a growing file, it has a temporary name until it has been compared. Object stores show whole
    objects only: the file has its name at once, and is removed if it differs.

    Args:
        folder: Where to.
        path: The finished file.
        entry: Its name in the folder, size and checksum.

    Raises:
        M3diError: The storage failed, or what was read back was different each time.
    """
    if isinstance(folder, LocalFolder) and path == folder.root / entry.file:
        return
    name = unique(entry.file) if folder.shows_growing_files else entry.file
    for attempt in range(1, N_TRIES + 1):
        with _removed_if_it_fails(folder, name):
            folder.put(path, name)
            found = digest(folder, name)
        if found == (entry.n_bytes, entry.sha256):
            break
        folder.remove([name])
        if attempt == N_TRIES:
            raise M3diError(
                f"what was written came back different, {N_TRIES} times",
                where=folder.path(entry.file),
                got=f"{found[0]} bytes, SHA-256 {found[1]}",
                expected=f"{entry.n_bytes} bytes, SHA-256 {entry.sha256}",
                next_step=f"check the storage; the file is kept as {path}, and the same command continues",
            )
    if name != entry.file:
        folder.rename(name, entry.file)


@contextmanager
def _removed_if_it_fails(folder: Folder, name: str) -> Iterator[None]:
    """Leave no half of a file, of a disk that is full or on Ctrl-C; object stores leave none."""
    try:
        yield
    except BaseException:
        if folder.shows_growing_files:
            with suppress(M3diError):
                folder.remove([name])
        raise


@contextmanager
def folder_to_write(folder: Folder) -> Iterator[Path]:
    """Yield a local folder for files to upload: the final one if it is local, else a temporary one."""
    if isinstance(folder, LocalFolder):
        yield folder.root
        return
    with TemporaryDirectory(prefix="m3di-") as here:
        yield Path(here)


@contextmanager
def on_this_machine(folder: Folder, name: str) -> Iterator[Path]:
    """Yield a file of a folder as a local file: itself, or a copy for the block.

    Raises:
        M3diError: The storage failed.
    """
    with folder_to_write(folder) as here:
        fetch(folder, name, here)
        yield here / name


def fetch(folder: Folder, name: str, here: Path) -> bool:
    """Copy a file into a local folder unless it is there; return whether it was copied.

    Raises:
        M3diError: The storage failed.
    """
    if (here / name).exists():
        return False
    partial = here / unique(name)
    n_bytes = folder.size(name)
    with reporting(CANNOT_READ, folder.path(name)), partial.open("wb") as stream:
        for offset in range(0, n_bytes, BLOCK):
            stream.write(folder.read_range(name, offset, min(BLOCK, n_bytes - offset)))
    partial.replace(here / name)
    return True
