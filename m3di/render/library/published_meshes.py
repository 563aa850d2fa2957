"""The meshes of the published dataset: downloaded from their repository, never shipped with m3di.

They lie at a pinned commit, and each is checked by its git blob id, so that what arrives is what was published.
"""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path

from m3di.errors import M3diError
from m3di.render.library.import_mesh import import_many
from m3di.render.library.user_shapes import UserShape, check_name

REPOSITORY = "github.com/imantdaunhawer/Multimodal3DIdent"
COMMIT = "1d9781b130cfe9e517c8fa4798336f5cd5452ae8"
BASE_URL = f"https://raw.githubusercontent.com/imantdaunhawer/Multimodal3DIdent/{COMMIT}/assets/shapes"
BLOBS = {
    "teapot": "7eb06cd43d91eef1dcf7b08355c7fc2e57598e2e",
    "hare": "a8d02004c719e3ccdf2b691a5059e5419e4fec18",
    "dragon": "417ce12206340bd2f9a78b18f688dcd9e166bca4",
    "cow": "469fa3a2036d2f8323f8d05a032dfd199a4599ce",
    "armadillo": "2426ab8767397ee8755e58c4127a772a9c107731",
    "horse": "e4d9bfc1fc1bef2adb1228ee4331ecf3957f0c2a",
    "head": "99321cc2dfb0a299c1c6b71836a4d211d4e9218b",
}
"""Git blob id of each mesh file."""

CONSENT = (
    f"The meshes come from {REPOSITORY}. Their authors and licences are not stated there for each mesh;\n"
    "some may not be used for every purpose. m3di does not own them, and cannot allow you anything.\n"
    "They will stand in for m3di's own shapes of the same names in all that you render,\n"
    "until you run: m3di shapes remove NAME"
)


def blob_id(content: bytes) -> str:
    """The id that git gives to a file with this content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def fetch_published(
    *, base_url: str = BASE_URL, blobs: Mapping[str, str] = BLOBS, replace: bool = False
) -> list[UserShape]:
    """Download the published meshes and keep them, as they are, under the names of their classes: all or none.

    Args:
        base_url: Where the files lie, `Shape<Name>.blend` each; a mirror will do, since they are checked.
        blobs: Git blob id of each.
        replace: Replace meshes of the user that have these names already.

    Raises:
        UsageError: The user has a mesh of one of these names.
        M3diError: No network, a file that is not there, or one with another content.
    """
    for name in blobs:
        check_name(name, replace=replace)
    with tempfile.TemporaryDirectory(prefix="m3di-") as folder:
        paths = {name: _download(f"{base_url}/{_file_name(name)}", Path(folder)) for name in blobs}
        for name, path in paths.items():
            found = blob_id(path.read_bytes())
            if found != blobs[name]:
                raise M3diError(
                    "a downloaded mesh is not the published one",
                    where=f"{base_url}/{_file_name(name)}",
                    got=f"{path.stat().st_size} bytes with the git blob id {found}",
                    expected=f"the git blob id {blobs[name]}",
                    next_step="try again; nothing was stored",
                )
        return import_many(paths, source=f"{REPOSITORY} at {COMMIT[:12]}")


def _file_name(name: str) -> str:
    return f"Shape{name.capitalize()}.blend"


def _download(url: str, folder: Path) -> Path:
    import pooch
    from requests import RequestException

    pooch.get_logger().setLevel(logging.ERROR)
    try:
        downloader = pooch.HTTPDownloader(timeout=30)
        # No hash of pooch's own: the ids that are known are git's, and are checked by the caller.
        return Path(
            pooch.retrieve(url, known_hash=None, fname=url.rsplit("/", 1)[1], path=folder, downloader=downloader)
        )
    except (RequestException, OSError, ValueError) as error:
        raise M3diError(
            "a mesh cannot be downloaded",
            where=url,
            got=error,
            expected="a connection to the repository, or to a mirror of it",
            next_step="check your network; or get the files by other means, and for each: "
            "m3di shapes import FILE --name NAME --as-is",
        ) from None
