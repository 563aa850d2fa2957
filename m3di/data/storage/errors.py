"""Turn errors of storages into an M3diError: no such bucket, no access, not reachable, package missing."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from m3di.errors import M3diError, UsageError
from m3di.system.disk import FULL

CANNOT_READ = "the folder of the dataset cannot be read"
CANNOT_WRITE = "the folder of the dataset cannot be written"
# Storages raise their client library's own errors, which have no common base. Only what is imported can be raised.
_FOREIGN = (
    ("botocore.exceptions", "BotoCoreError"),
    ("botocore.exceptions", "ClientError"),
    ("aiohttp", "ClientError"),
    ("azure.core.exceptions", "AzureError"),
    ("gcsfs.retry", "HttpError"),
    ("httpx", "HTTPError"),  # of huggingface_hub, by its version
    ("httpx2", "HTTPError"),
    ("huggingface_hub.errors", "EntryNotFoundError"),
    ("huggingface_hub.errors", "HFValidationError"),
    ("huggingface_hub.errors", "HfUriError"),
)
_NO_ACCESS = {"PermissionError", "NoCredentialsError", "PartialCredentialsError", "ProfileNotFound"}
_NO_CONNECTION = {"ConnectionError", "TimeoutError", "HTTPClientError", "ClientConnectionError", "TransportError"}
_NO_HUB_ACCESS = {"RepositoryNotFoundError", "LocalTokenNotFoundError"}  # the Hub also says so to who may not see it
_EXTRAS = {"s3": "pip install 'm3di[s3]'", "s3a": "pip install 'm3di[s3]'", "hf": "pip install huggingface_hub"}


@contextmanager
def reporting(what: str, where: str) -> Iterator[None]:
    """Turn errors of a storage inside the block into one message.

    Args:
        what: The message: what cannot be done.
        where: The file or folder.

    Raises:
        M3diError: The storage failed; the message says how, and what to look at.
    """
    try:
        yield
    except _raised() as error:
        names = {kind.__name__ for kind in type(error).__mro__}
        got, next_step = error, "look at the message of the storage, then run the same command again"
        if isinstance(error, FileNotFoundError):
            what, next_step = (
                f"{what}: there is no such bucket, folder or file",
                "create the bucket or repository, or correct the URL",
            )
        elif isinstance(error, OSError) and error.errno in FULL:
            what, next_step = "the disk is full", "make room, then run the same command again; what is finished is kept"
        elif names & _NO_ACCESS:
            what = f"{what}: the storage refuses access"
            next_step = "check the credentials (for S3 AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile), and "
            next_step += "that they may list, read, write and delete there"
        elif names & _NO_HUB_ACCESS or _status(error) in (401, 403):
            what = f"{what}: the storage knows no such place, or refuses access"
            next_step = "create it, and log in with the right to write there (for the Hub `hf auth login`, or HF_TOKEN)"
        elif names & _NO_CONNECTION:
            what = f"{what}: the storage cannot be reached"
            next_step = (
                "check the network and the endpoint (for S3 AWS_ENDPOINT_URL_S3), then run the same command again"
            )
        text = f"{type(error).__name__}: {got}" if str(got) else type(error).__name__
        raise M3diError(what, where=where, got=text, next_step=next_step) from error


def _status(error: BaseException) -> int | None:
    """Return the status of the answer of a server that an error holds."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn errors of a storage's client library inside the block into an OSError."""
    try:
        yield
    except FileNotFoundError as error:
        raise OSError("there is no such file") from error
    except OSError:
        raise
    except _raised() as error:
        raise OSError(f"{type(error).__name__}: {error}") from error


def no_ranges(where: str, asked: int, got: int) -> M3diError:
    """Make the error for a server that sends whole files only."""
    return M3diError(
        "the server sends whole files where a part was asked for: samples cannot be read from it one by one",
        where=where,
        got=f"{got:,} bytes",
        expected=f"{asked:,} bytes, as servers send that understand HTTP range requests",
        next_step="serve the folder with a server that does (nginx, Apache, an object store), or copy it here",
    )


def _raised() -> tuple[type[BaseException], ...]:
    found = [getattr(sys.modules[module], name, None) for module, name in _FOREIGN if module in sys.modules]
    return (OSError, *(kind for kind in found if isinstance(kind, type)))


def no_fsspec(url: str) -> M3diError:
    """Make the error for a missing fsspec."""
    return M3diError("a URL needs fsspec, which is not installed", where=url, next_step="pip install fsspec")


def no_place(url: str) -> UsageError:
    """Make the error for a URL that ends before it names anything."""
    return UsageError(
        "the URL names no place",
        where=url,
        expected="a bucket, repository or folder behind ://, such as s3://BUCKET/DATA or hf://datasets/OWNER/NAME",
        next_step="write the whole URL",
    )


def unknown_url(url: str, error: Exception) -> UsageError:
    """Make the error for a kind of URL that fsspec does not know, or lacks a package for."""
    package = "install the package that fsspec names, or use a folder of this machine"
    return UsageError(
        "fsspec cannot open this URL",
        where=url,
        got=error,
        next_step=_EXTRAS.get(url.partition("://")[0], package),
    )
