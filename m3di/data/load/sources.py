"""Sources of a `Dataset`: shards with a manifest, or the published layout in place."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import pyarrow as pa
from numpy.typing import NDArray

from m3di.data.format.images import ImageError, decode, encode
from m3di.data.format.manifest import MANIFEST, Manifest, manifest_in, no_dataset
from m3di.data.format.parquet import UNREADABLE, read_parquet, read_parquet_metadata, source_in
from m3di.data.format.table_checks import metadata_problems, table_problems
from m3di.data.format.tokens import Tokenizer, tokenizer_of
from m3di.data.layouts import published
from m3di.data.layouts.published_latents import published_spec
from m3di.data.storage.places import Folder, open_to_read
from m3di.errors import M3diError
from m3di.latents import Spec, spec_from_dict


class Files(Protocol):
    """Image files of a split, by row of its table and view; `size_px` is their side if known."""

    @property
    def size_px(self) -> int | None: ...

    def read(self, row: int, view: str) -> bytes: ...

    def extension(self, view: str) -> str: ...

    def where(self, row: int, view: str) -> str: ...


class Source(Protocol):
    """A dataset as a whole."""

    @property
    def spec(self) -> Spec: ...

    @property
    def fingerprint(self) -> str: ...

    def pictures(self, split: str) -> str: ...

    @property
    def n_samples(self) -> dict[str, int]: ...

    def table(self, split: str) -> pa.Table: ...

    def files(self, split: str, table: pa.Table) -> Files: ...

    def tokenizer(self, view: str) -> Tokenizer: ...


def open_source(folder: Folder) -> Source:
    """Open the dataset in a folder.

    Raises:
        M3diError: There is none, or its manifest is damaged.
    """
    if folder.exists(MANIFEST):
        return ShardSource(folder, manifest_in(folder))
    splits = published.split_folders(folder)
    if splits:
        return PublishedSource(folder, splits)
    raise no_dataset(folder)


def open_shards(root: str | os.PathLike[str]) -> ShardSource:
    """Open the m3di dataset in a folder or at a URL.

    Raises:
        M3diError: There is none, or its manifest is damaged.
    """
    folder = open_to_read(root)
    if not folder.exists(MANIFEST):
        if published.split_folders(folder):
            raise M3diError(
                "the published layout has no manifest, and no shards",
                where=str(folder),
                expected=f"a folder with a {MANIFEST}",
                next_step="m3di import makes such a dataset of it",
            )
        raise no_dataset(folder)
    return ShardSource(folder, manifest_in(folder))


@dataclass
class ShardSource:
    """An m3di dataset: shards, tables, manifest."""

    folder: Folder
    manifest: Manifest

    @cached_property
    def spec(self) -> Spec:
        """The spec that it was made by."""
        return self.manifest.parsed_spec

    @cached_property
    def fingerprint(self) -> str:
        """Identity of the data."""
        return self.manifest.fingerprint

    def pictures(self, split: str) -> str:
        """Equal for equal images of a split."""
        return self.fingerprint

    @property
    def n_samples(self) -> dict[str, int]:
        """Samples of each split."""
        return {name: entry.n_samples for name, entry in self.manifest.splits.items()}

    def table(self, split: str) -> pa.Table:
        """Read the table of a split, and check its shards, ranges, keys and values against the manifest.

        Raises:
            M3diError: It cannot be read, or does not fit the dataset.
        """
        entry = self.manifest.splits[split].table
        try:
            source = source_in(self.folder, entry.file)
            problem = next(metadata_problems(read_parquet_metadata(source), entry.n_samples), None)
            table = read_parquet(source) if problem is None else None
            if table is not None:
                problem = next(table_problems(table, self.manifest, self.spec, split), None)
        except UNREADABLE as error:
            raise self._bad_table(split, f"the table of split {split!r} cannot be read", error) from error
        if table is None or problem is not None:
            raise self._bad_table(split, f"the table of split {split!r} does not fit its dataset", problem)
        return table

    def schema(self, split: str) -> pa.Schema:
        """Read names and types of the columns of the table of a split.

        Raises:
            M3diError: It cannot be read.
        """
        name = self.manifest.splits[split].table.file
        try:
            return read_parquet_metadata(source_in(self.folder, name)).schema.to_arrow_schema()
        except UNREADABLE as error:
            raise self._bad_table(split, f"the table of split {split!r} cannot be read", error) from error

    def _bad_table(self, split: str, what: str, got: object) -> M3diError:
        name = self.manifest.splits[split].table.file
        return M3diError(what, where=self.folder.path(name), got=got, next_step=f"m3di verify {self.folder}")

    def files(self, split: str, table: pa.Table) -> ShardFiles:
        """Return the image files of a split."""
        return ShardFiles(self.folder, self.manifest, table)

    def tokenizer(self, view: str) -> Tokenizer:
        """Return the tokenizer of a text view."""
        return self.manifest.text[view].tokenizer


class ShardFiles:
    """Files in shards: one byte range each."""

    def __init__(self, folder: Folder, manifest: Manifest, table: pa.Table) -> None:
        self.folder, self._extensions = folder, manifest.extensions
        self.size_px: int | None = manifest.render["size_px"]
        shard = table["shard"].combine_chunks().dictionary_encode()
        shard = shard.chunk(0) if isinstance(shard, pa.ChunkedArray) else shard
        self._names: list[str] = shard.dictionary.to_pylist()
        self._shard: NDArray[Any] = shard.indices.to_numpy()
        self._ranges: dict[str, tuple[NDArray[Any], NDArray[Any]]] = {
            view: (table[f"{extension}_offset"].to_numpy(), table[f"{extension}_size"].to_numpy())
            for view, extension in manifest.extensions.items()
        }

    def read(self, row: int, view: str) -> bytes:
        """Read the file of a row and view.

        Raises:
            OSError: It is not there; readers of samples add which sample they wanted.
            M3diError: The storage failed.
        """
        offset, size = self._ranges[view]
        found = self.folder.read_range(self._names[self._shard[row]], int(offset[row]), int(size[row]))
        if len(found) != size[row]:
            raise OSError(f"the shard ends {size[row] - len(found)} bytes too early")
        return found

    def read_whole(self, row: int, view: str) -> bytes:
        """Read a file as `read` does, for callers that cannot go on without it.

        Raises:
            M3diError: The bytes are not there.
        """
        try:
            return self.read(row, view)
        except OSError as error:
            raise self._unreadable(row, view, error.strerror or error) from error

    def read_image(self, row: int, view: str, extension: str) -> bytes:
        """Return the image of a row in a format; one that has the format keeps its bytes.

        Raises:
            M3diError: It cannot be read.
        """
        raw = self.read_whole(row, view)
        if self.extension(view) == extension:
            return raw
        try:
            return encode(decode(raw, self.extension(view), self.size_px), extension)
        except ImageError as error:
            raise self._unreadable(row, view, error) from error

    def _unreadable(self, row: int, view: str, got: object) -> M3diError:
        return M3diError(
            f"a file of row {row} cannot be read",
            where=self.where(row, view),
            got=got,
            next_step=f"m3di verify {self.folder}  says what is damaged",
        )

    def extension(self, view: str) -> str:
        """Return the format of a view's files."""
        return self._extensions[view].rpartition(".")[2]

    def where(self, row: int, view: str) -> str:
        """Name the place of a file, for messages."""
        return f"{self.folder.path(self._names[self._shard[row]])}, byte {self._ranges[view][0][row]}"


class PublishedSource:
    """The published layout in place."""

    def __init__(self, folder: Folder, splits: dict[str, str]) -> None:
        self.folder, self.splits = folder, splits
        self.plan = published.read_published_plan(folder)

    @cached_property
    def spec(self) -> Spec:
        """The dataset's own spec where m3di exported the folder, else that of the published files."""
        if self.plan is not None:
            return spec_from_dict(self.plan.spec, where=published.PLAN, stored=True)
        return published_spec()

    @cached_property
    def fingerprint(self) -> str:
        """Identity of captions and latents."""
        return published.fingerprint(self.folder, self.splits)

    def pictures(self, split: str) -> str:
        """Equal for equal images of a split: their names, and what the file system says of them."""
        stamps = sorted(self.folder.stamps(f"{self.splits[split]}images").items())
        return hashlib.sha256(f"{self.fingerprint} {stamps}".encode()).hexdigest()

    @cached_property
    def n_samples(self) -> dict[str, int]:
        """Samples of each split."""
        return {split: len(published.read_captions(self.folder, prefix)) for split, prefix in self.splits.items()}

    def table(self, split: str) -> pa.Table:
        """Make the table of a split from its CSV files."""
        return published.published_table(self.folder, split, self.splits[split], self.plan)

    def files(self, split: str, table: pa.Table) -> Files:
        """Return the image files of a split."""
        size_px = self.plan.render["size_px"] if self.plan is not None else None
        return PublishedFiles(self.folder, self.splits[split], table.num_rows, size_px)

    def tokenizer(self, view: str) -> Tokenizer:
        """Return the tokenizer of our plan, else one of all captions."""
        if self.plan is not None:
            return self.plan.text[view].tokenizer
        every = (text for prefix in self.splits.values() for text in published.read_captions(self.folder, prefix))
        return tokenizer_of(every)


@dataclass(frozen=True)
class PublishedFiles:
    """One PNG a sample."""

    folder: Folder
    prefix: str
    n: int
    size_px: int | None

    def read(self, row: int, view: str) -> bytes:
        """Read the image of a row."""
        return self.folder.read(self.prefix + published.image_name(row, self.n))

    def extension(self, view: str) -> str:
        """Return the format of the images."""
        return "png"

    def where(self, row: int, view: str) -> str:
        """Name the place of an image, for messages."""
        return self.folder.path(self.prefix + published.image_name(row, self.n))
