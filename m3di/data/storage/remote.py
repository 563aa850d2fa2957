"""A dataset's folder below a URL, through fsspec."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from m3di.data.storage.errors import (
    CANNOT_READ,
    CANNOT_WRITE,
    no_fsspec,
    no_ranges,
    plain_errors,
    reporting,
    unknown_url,
)
from m3di.errors import M3diError

# Object stores show an object once all of it is there. What is written elsewhere can be seen growing.
OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "oci", "oss", "memory"}


class RemoteFolder:
    """Files below a URL, through fsspec; each process opens its own. All methods but `read_range` raise an `M3diError`
    where the storage fails.
    """

    def __init__(self, url: str) -> None:
        try:
            import fsspec
        except ModuleNotFoundError as error:
            raise no_fsspec(url) from error
        self.url = url.rstrip("/")
        with reporting(CANNOT_READ, self.url):  # some connect at once
            try:
                self._opened, self._base = fsspec.core.url_to_fs(self.url)
            except (ValueError, ImportError) as error:
                raise unknown_url(url, error) from error
        self._process = os.getpid()
        self.shows_growing_files = self.url.partition("://")[0] not in OBJECT_STORES

    def __str__(self) -> str:
        return self.url

    def path(self, name: str) -> str:
        """Where a file lies."""
        return f"{self.url}/{name}"

    @property
    def _files(self) -> Any:
        if self._process != os.getpid():  # connections and threads of fsspec do not survive a fork
            import fsspec

            self._opened, self._process = fsspec.core.url_to_fs(self.url)[0], os.getpid()
        return self._opened

    def _at(self, name: str) -> str:
        return f"{self._base}/{name}"

    def exists(self, name: str) -> bool:
        """Whether the file exists."""
        with reporting(CANNOT_READ, self.path(name)):
            try:
                return bool(self._files.info(self._at(name))["type"] == "file")
            except FileNotFoundError as error:
                # That of HTTP says so, too, where no server answers.
                if isinstance(error.__cause__, OSError) and not isinstance(error.__cause__, FileNotFoundError):
                    raise error.__cause__ from None
                return False

    def size(self, name: str) -> int:
        """Number of bytes of a file, as it is now; 0 if the server does not say."""
        with reporting(CANNOT_READ, self.path(name)):
            self._files.invalidate_cache()
            return int(self._files.info(self._at(name))["size"] or 0)

    def sizes(self) -> dict[str, int]:
        """Name and bytes (0 if a listing does not say) of every file directly in the folder, as it is now; empty
        where there is none.
        """
        with reporting(CANNOT_READ, self.url):
            self._files.invalidate_cache()  # other machines write there
            try:
                found = self._files.ls(self._base, detail=True)
            except FileNotFoundError:
                return {}
        files = [each for each in found if each["type"] == "file" and each["name"].rstrip("/") != self._base]
        return {each["name"].rpartition("/")[2]: int(each["size"] or 0) for each in files}

    def stamps(self, folder: str) -> dict[str, str]:
        """Of every file in a folder below, what changes when it is written, moved or replaced."""
        with reporting(CANNOT_READ, self.path(folder)):
            self._files.invalidate_cache()
            found = self._files.ls(self._at(folder), detail=True)
        return {each["name"].rpartition("/")[2]: str(sorted(map(str, each.items()))) for each in found}

    def read(self, name: str) -> bytes:
        """A whole file."""
        with reporting(CANNOT_READ, self.path(name)):
            return bytes(self._files.cat_file(self._at(name)))

    def read_range(self, name: str, offset: int, size: int) -> bytes:
        """Bytes `offset` to `offset + size - 1` of a file, or fewer where it ends before.

        Raises:
            OSError: The storage failed; a reader of samples says which sample it wanted.
            M3diError: The server sends whole files only.
        """
        if size == 0:
            return b""
        with plain_errors():
            found = bytes(self._files.cat_file(self._at(name), start=offset, end=offset + size))
        if len(found) > size:
            raise no_ranges(self.path(name), size, len(found))
        return found

    def create(self, name: str, content: bytes) -> None:
        """Write a small file unless there is one of this name: of several writers the first wins.

        Storages without conditional writes look before they write: there, two writers at the same moment both write.
        """
        with reporting(CANNOT_WRITE, self.path(name)):
            if self.exists(name):
                return
            if self.shows_growing_files:
                self._files.makedirs(self._base, exist_ok=True)
            try:
                self._files.pipe_file(self._at(name), content, mode="create")
            except FileExistsError:
                return

    def put(self, path: Path, name: str) -> None:
        """Copy a file of this machine to here."""
        with reporting(CANNOT_WRITE, self.path(name)):
            self._files.put_file(str(path), self._at(name))

    def rename(self, name: str, final: str) -> None:
        """Give a file another name; a file that has it already is replaced."""
        with reporting(CANNOT_WRITE, self.path(final)):
            self._files.mv(self._at(name), self._at(final))

    def remove(self, names: Iterable[str]) -> None:
        """Remove files; those that are not there are passed over."""
        with reporting(CANNOT_WRITE, self.url):
            there = self.sizes()
            for name in names:
                if name in there:
                    self._files.rm_file(self._at(name))

    def abort_uploads(self) -> None:
        """Have S3 drop the pieces of uploads to this folder that were cut off: no listing shows them, and they cost.

        Where we may not do that, they stay: the rules of a bucket can end them, too.
        """
        if self.url.partition("://")[0] not in ("s3", "s3a"):
            return
        bucket, _, prefix = self._base.partition("/")
        with suppress(M3diError), reporting(CANNOT_WRITE, self.path("")):
            found = self._files.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=f"{prefix}/")
            for each in found.get("Uploads", ()):
                key, number = each["Key"], each["UploadId"]
                self._files.call_s3("abort_multipart_upload", Bucket=bucket, Key=key, UploadId=number)

    def close(self) -> None:
        """Nothing stays open."""

    def __reduce__(self) -> tuple[Any, ...]:
        return RemoteFolder, (self.url,)
