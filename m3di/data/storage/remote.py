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
    no_place,
    no_ranges,
    plain_errors,
    reporting,
    unknown_url,
)
from m3di.errors import M3diError

# Object stores show an object once all of it is there, and so does the Hub (hf), where each file is a commit. What is
# written elsewhere can be seen growing.
OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "oci", "oss", "hf", "memory"}


class RemoteFolder:
    """Files below a URL, through fsspec; each process opens its own. All methods but `read_range` raise an `M3diError`
    if the storage fails.
    """

    def __init__(self, url: str) -> None:
        try:
            import fsspec
        except ModuleNotFoundError as error:
            raise no_fsspec(url) from error
        if not url.partition("://")[2].strip("/"):  # fsspec would take the rest for a folder of this machine
            raise no_place(url)
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
        """Return the place of a file."""
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
        """Return the current number of bytes of a file; 0 if the server does not say."""
        with reporting(CANNOT_READ, self.path(name)):
            self._files.invalidate_cache()
            return int(self._files.info(self._at(name))["size"] or 0)

    def sizes(self) -> dict[str, int]:
        """Return name and current bytes (0 if a listing does not say) of every file directly in the folder; empty if
        there is no folder.
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
        """Return for every file in a subfolder what changes when it is written, moved or replaced."""
        with reporting(CANNOT_READ, self.path(folder)):
            self._files.invalidate_cache()
            found = self._files.ls(self._at(folder), detail=True)
        return {each["name"].rpartition("/")[2]: str(sorted(map(str, each.items()))) for each in found}

    def read(self, name: str) -> bytes:
        """Read a whole file."""
        with reporting(CANNOT_READ, self.path(name)):
            return bytes(self._files.cat_file(self._at(name)))

    def read_range(self, name: str, offset: int, size: int) -> bytes:
        """Read bytes `offset` to `offset + size - 1` of a file, or fewer if it ends before.

        Raises:
            OSError: The storage failed; readers of samples add which sample they wanted.
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
        """Write a small file unless the name is taken; the first of several writers wins.

        Without conditional writes, it looks before it writes: two writers at the same moment both write.
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
        """Copy a local file to here."""
        with reporting(CANNOT_WRITE, self.path(name)):
            self._files.put_file(str(path), self._at(name))

    def rename(self, name: str, final: str) -> None:
        """Rename a file; replace a file that has the name already."""
        with reporting(CANNOT_WRITE, self.path(final)):
            self._files.mv(self._at(name), self._at(final))

    def remove(self, names: Iterable[str]) -> None:
        """Remove files; ignore missing ones."""
        with reporting(CANNOT_WRITE, self.url):
            there = self.sizes()
            for name in names:
                if name in there:
                    self._files.rm_file(self._at(name))

    def abort_uploads(self) -> None:
        """Delete the pieces of interrupted uploads to this folder from S3: no listing shows them, and they cost.

        Without permission they stay; the rules of a bucket can remove them too.
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
        """Do nothing: no file stays open."""

    def __reduce__(self) -> tuple[Any, ...]:
        return RemoteFolder, (self.url,)
