from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from m3di.data import file_entry, open_folder, upload
from m3di.data.storage.places import LocalFolder, digest
from m3di.errors import M3diError, UsageError
from tests.conftest import slow


def written(folder: Path, content: bytes) -> Path:
    path = folder / "train-00000.tar"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("kind", ["memory", "folder", "file", *slow("s3")])
def test_an_upload_is_the_file(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = {
        "s3": lambda: request.getfixturevalue("bucket") + "/some/prefix",
        "memory": lambda: "memory://upload",
        "folder": lambda: str(tmp_path / "out"),
        "file": lambda: f"file://{tmp_path}/out",
    }[kind]()
    content = bytes(range(256)) * 1000
    path = written(tmp_path, content)
    folder = open_folder(url)
    assert folder.sizes() == {}
    folder.create("plan", b"first")
    folder.create("plan", b"second")
    assert folder.read("plan") == b"first"
    for _ in range(2):  # the second time over the first
        upload(folder, path, file_entry(path, 3))
    assert folder.sizes() == {"plan": 5, "train-00000.tar": 256_000}
    assert folder.read("train-00000.tar") == path.read_bytes() == content
    assert folder.read_range("train-00000.tar", 250, 10) == content[250:260]
    folder.remove(["plan", "not there"])
    assert folder.exists("train-00000.tar")
    assert not folder.exists("plan")


@pytest.mark.slow
def test_on_s3_of_two_writers_the_first_wins(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = open_folder(f"{bucket}/d"), open_folder(f"{bucket}/d")
    monkeypatch.setattr(other, "exists", lambda name: False)  # it looked before the first wrote
    one.create("plan", b"first")
    other.create("plan", b"second")
    assert other.read("plan") == b"first"


def test_a_file_url_is_a_folder(tmp_path: Path) -> None:
    folder = open_folder(f"file://{tmp_path}")
    assert isinstance(folder, LocalFolder)
    assert folder.root == tmp_path


@pytest.mark.parametrize("size", [0, 5, 8 << 20, (8 << 20) + 1])
def test_digests_of_any_size(size: int, tmp_path: Path) -> None:
    path = written(tmp_path, b"x" * size)
    entry = file_entry(path, 0)
    assert digest(open_folder(tmp_path), path.name) == (entry.n_bytes, entry.sha256)


def damaging(folder: Any, monkeypatch: pytest.MonkeyPatch, n_times: int) -> list[str]:
    """Make the first writes of a folder lose a bit; the names that were written."""
    put, names = folder.put, []

    def damaged(path: Path, name: str) -> None:
        names.append(name)
        if len(names) <= n_times:
            content = bytearray(path.read_bytes())
            content[100] ^= 1
            path = path.with_name("damaged")
            path.write_bytes(content)
        put(path, name)

    monkeypatch.setattr(folder, "put", damaged)
    return names


@pytest.mark.parametrize("remote", [False, *slow(True)])
def test_an_upload_that_comes_back_different(
    remote: bool, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = open_folder(request.getfixturevalue("bucket") if remote else tmp_path / "out")
    folder.create("plan", b"")
    path = written(tmp_path, b"x" * 1000)
    entry = file_entry(path, 1)
    names = damaging(folder, monkeypatch, n_times=2)
    upload(folder, path, entry)
    assert len(names) == 3
    assert folder.read("train-00000.tar") == b"x" * 1000
    folder.remove(["train-00000.tar"])
    damaging(folder, monkeypatch, n_times=3)
    with pytest.raises(M3diError, match=r"came back different, 3 times(?s:.)*train-00000\.tar(?s:.)*SHA-256"):
        upload(folder, path, entry)
    assert list(folder.sizes()) == ["plan"]


def test_where_growing_files_can_be_seen_only_whole_ones_have_their_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fsspec.implementations.local import LocalFileSystem

    class Growing(LocalFileSystem):
        protocol = "growing"
        local_file = False

        def put_file(self, lpath: str, rpath: str, **options: Any) -> None:
            assert rpath.endswith(".partial")
            super().put_file(lpath, rpath, **options)

        def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **options: Any) -> None:
            Path(path).write_bytes(value)

        @classmethod
        def _strip_protocol(cls, path: Any) -> Any:
            return super()._strip_protocol(str(path).removeprefix("growing://"))

    monkeypatch.setitem(sys.modules["fsspec.registry"]._registry, "growing", Growing)  # type: ignore[attr-defined]
    folder = open_folder(f"growing://{tmp_path}/out")
    folder.create("plan", b"")
    path = written(tmp_path, b"x" * 1000)
    upload(folder, path, file_entry(path, 1))
    assert folder.sizes() == {"plan": 0, "train-00000.tar": 1000}


@pytest.mark.slow
def test_no_such_bucket(bucket: str) -> None:
    with pytest.raises(M3diError, match=r"cannot be written: there is no such bucket(?s:.)*s3://nowhere/d/plan"):
        open_folder("s3://nowhere/d").create("plan", b"")


@pytest.mark.slow
def test_an_endpoint_that_does_not_answer(bucket: str, other_connection: None, monkeypatch: pytest.MonkeyPatch) -> None:
    import s3fs

    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    with pytest.raises(M3diError, match=r"cannot be reached(?s:.)*127\.0\.0\.1:9(?s:.)*AWS_ENDPOINT_URL_S3"):
        open_folder(f"{bucket}/d").create("plan", b"")


@pytest.mark.slow
def test_no_permission(bucket: str, s3_server: str) -> None:
    import requests

    requests.post(f"{s3_server}/moto-api/reset-auth", data=b"0", timeout=10)  # from now on credentials count
    try:
        with pytest.raises(M3diError, match=r"refuses access(?s:.)*AWS_ACCESS_KEY_ID"):
            open_folder(f"{bucket}/d").create("plan", b"")
    finally:
        requests.post(f"{s3_server}/moto-api/reset-auth", data=b"inf", timeout=10)


@pytest.mark.slow
def test_without_credentials(
    bucket: str, other_connection: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(M3diError, match=r"refuses access(?s:.)*credentials"):
        open_folder(f"{bucket}/d").create("plan", b"")


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(M3diError, match="the folder of the dataset cannot be written"):
        open_folder(tmp_path / "file" / "below").create("plan", b"")


def test_without_s3fs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "s3", raising=False)  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match=r"cannot open this URL(?s:.)*pip install 'm3di\[s3\]'"):
        open_folder("s3://bucket/d")
