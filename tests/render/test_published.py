"""Fetching the published meshes: from a server on this machine, whole, damaged and not there."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from m3di.errors import M3diError, UsageError
from m3di.render import user_shapes
from m3di.render.library.published_meshes import BASE_URL, BLOBS, COMMIT, blob_id, fetch_published
from m3di.render.library.user_shapes import store_user_meshes
from tests.conftest import REFERENCE
from tests.render.blend_files import in_worker, write_meshes
from tests.render.test_importing import user_mesh


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("M3DI_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "home"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder, and the address under which it is served."""
    folder = tmp_path / "served"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_blob_ids_are_those_of_git() -> None:
    assert blob_id(b"hello\n") == "ce013625030ba8dba906f756967f9e9ca394464a"  # git hash-object
    assert blob_id(b"") == hashlib.sha1(b"blob 0\0").hexdigest()


def test_what_is_pinned() -> None:
    assert len(BLOBS) == 7
    assert COMMIT in BASE_URL


@pytest.mark.skipif(not REFERENCE.is_dir(), reason="the published reference is not on this machine")
def test_the_published_teapot_has_its_pinned_id() -> None:
    assert blob_id((REFERENCE / "meshes" / "ShapeTeapot.blend").read_bytes()) == BLOBS["teapot"]


@pytest.mark.slow
def test_fetched_meshes_are_usable_by_name(served: tuple[Path, str], tmp_path: Path) -> None:
    folder, url = served
    in_worker(write_meshes, tmp_path)
    content = (tmp_path / "one.blend").read_bytes()
    for name in ("ShapeTeapot.blend", "ShapeHare.blend"):
        (folder / name).write_bytes(content)
    blobs = {"teapot": blob_id(content), "hare": blob_id(content)}
    fetched = fetch_published(base_url=url, blobs=blobs)
    assert [shape.name for shape in fetched] == ["teapot", "hare"]
    assert list(user_shapes()) == ["hare", "teapot"]
    with pytest.raises(UsageError, match=r"have a shape called 'teapot' already(?s:.)*--replace"):
        fetch_published(base_url=url, blobs=blobs)
    fetch_published(base_url=url, blobs=blobs, replace=True)


def test_a_corrupt_download_changes_nothing(served: tuple[Path, str], home: Path) -> None:
    folder, url = served
    (folder / "ShapeTeapot.blend").write_bytes(b"good")
    (folder / "ShapeHare.blend").write_bytes(b"corrupt")
    blobs = {"teapot": blob_id(b"good"), "hare": BLOBS["hare"]}
    with pytest.raises(M3diError, match=rf"not the published one(?s:.)*ShapeHare(?s:.)*7 bytes(?s:.)*{BLOBS['hare']}"):
        fetch_published(base_url=url, blobs=blobs)
    assert not home.exists()


def test_a_file_that_is_not_there(served: tuple[Path, str], home: Path) -> None:
    with pytest.raises(M3diError, match=r"cannot be downloaded(?s:.)*ShapeTeapot\.blend(?s:.)*404"):
        fetch_published(base_url=served[1])
    assert not home.exists()


def test_no_network(home: Path) -> None:
    with pytest.raises(M3diError, match=r"cannot be downloaded(?s:.)*check your network(?s:.)*m3di shapes import FILE"):
        fetch_published(base_url="http://127.0.0.1:9")
    assert not home.exists()


def test_a_name_that_is_taken_is_seen_before_anything_is_downloaded() -> None:
    store_user_meshes({"horse": user_mesh()})
    with pytest.raises(UsageError, match="have a shape called 'horse' already"):
        fetch_published(base_url="http://127.0.0.1:9")
