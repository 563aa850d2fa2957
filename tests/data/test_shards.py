from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest

from m3di.data import ShardWriter, read_shard, sample_key, shard_name
from m3di.errors import M3diError
from m3di.system.files import write_atomically

EXTENSIONS = ("png", "txt")


def contents(index: int) -> dict[str, bytes]:
    return {"png": bytes([index]) * (700 + index), "txt": f"caption {index}".encode()}


def write(path: Path, n: int) -> None:
    writer = ShardWriter(path, EXTENSIONS)
    for index in range(n):
        writer.add(sample_key(index), contents(index))
    writer.finish()


def test_names() -> None:
    assert shard_name("train", 3) == "train-00003.tar"
    assert sample_key(42) == "000000042"


def test_python_tarfile_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    write(path, 5)
    with tarfile.open(path) as tar:
        assert tar.getnames()[:3] == ["000000000.png", "000000000.txt", "000000001.png"]
        for info in tar:
            index, extension = int(info.name[:9]), info.name[10:]
            stream = tar.extractfile(info)
            assert stream is not None
            assert stream.read() == contents(index)[extension]
            assert (info.mtime, info.uid, info.gid, info.mode, info.uname) == (0, 0, 0, 0o644, "")


def test_offsets_point_at_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    write(path, 5)
    raw = path.read_bytes()
    found = list(read_shard(path))
    assert [sample.key for sample in found] == [sample_key(index) for index in range(5)]
    for index, sample in enumerate(found):
        for extension, member in sample.members.items():
            assert raw[member.offset : member.offset + member.size] == contents(index)[extension]


def test_no_final_name_before_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    writer = ShardWriter(path, EXTENSIONS)
    writer.add(sample_key(0), contents(0))
    assert not path.exists()
    writer.finish()
    assert path.exists()
    assert [each.name for each in tmp_path.iterdir()] == ["a.tar"]


def test_what_an_interrupted_run_left_is_overwritten(tmp_path: Path) -> None:
    write(tmp_path / "whole.tar", 4)
    (tmp_path / "b.tar.partial").write_bytes(b"x" * 100_000)
    write(tmp_path / "b.tar", 4)
    assert (tmp_path / "b.tar").read_bytes() == (tmp_path / "whole.tar").read_bytes()


def test_a_file_that_is_no_tar(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(b"x" * 5000)
    with pytest.raises(M3diError, match=r"no readable tar archive(?s:.)*a\.tar"):
        list(read_shard(path))


def test_a_member_that_promises_more_than_there_is(tmp_path: Path) -> None:
    """Long names and attributes are read whole by tarfile, and what is stated is made room for."""

    def header(kind: bytes, size: int) -> bytes:
        info = tarfile.TarInfo("000000000.png")
        info.size, info.type, info.linkname = size, kind, "x" * (kind == tarfile.SYMTYPE)
        return info.tobuf(tarfile.USTAR_FORMAT if size < 1 << 33 else tarfile.GNU_FORMAT)

    for kind, size, message in [
        (tarfile.REGTYPE, 1 << 50, "no plain member that lies within the shard"),
        (tarfile.SYMTYPE, 0, "no plain member"),
        (tarfile.DIRTYPE, 0, "no plain member"),
        (tarfile.GNUTYPE_LONGNAME, 1 << 40, "no header of a plain member"),
        (tarfile.XHDTYPE, 1 << 40, "no header of a plain member"),
    ]:
        (tmp_path / "a.tar").write_bytes(header(kind, size) + b"\0" * 1024)
        with pytest.raises(M3diError, match=rf"no readable tar archive(?s:.)*{message}"):
            list(read_shard(tmp_path / "a.tar"))


@pytest.fixture
def on_disk(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is done to files, in order: `fsync NAME` and `rename NAME`."""
    events: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def noted_fsync(descriptor: int) -> None:
        events.append(f"fsync {Path(f'/proc/self/fd/{descriptor}').readlink().name}")
        fsync(descriptor)

    def noted_replace(path: Path, target: Path) -> Path:
        events.append(f"rename {path.name}")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    return events


def test_a_name_is_given_to_what_is_on_the_disk_and_is_on_the_disk_itself(tmp_path: Path, on_disk: list[str]) -> None:
    """After a power loss: content, then name, then the folder's entry. Any other order can leave an empty shard."""
    write(tmp_path / "a.tar", 2)
    assert on_disk == ["fsync a.tar.partial", "rename a.tar.partial", f"fsync {tmp_path.name}"]
    on_disk.clear()
    write_atomically(tmp_path / "it.json", b"{}")
    assert on_disk == ["fsync it.json.partial", "rename it.json.partial", f"fsync {tmp_path.name}"]
    assert (tmp_path / "it.json").read_bytes() == b"{}"


def test_what_is_written_is_flushed_before_it_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: sizes.append(os.fstat(descriptor).st_size))
    write(tmp_path / "a.tar", 2)
    assert sizes[0] == (tmp_path / "a.tar").stat().st_size > 0
    write_atomically(tmp_path / "it.json", b"{}")
    assert sizes[2] == 2
