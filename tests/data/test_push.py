"""A dataset goes elsewhere whole, or is refused; nothing that lies there is written over."""

from __future__ import annotations

import errno
import shutil
import sys
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from click.testing import CliRunner
from fsspec.implementations.memory import MemoryFileSystem

from m3di import data
from m3di.cli.main import cli
from m3di.data.storage.places import unique
from m3di.errors import M3diError, UsageError


@pytest.fixture
def url(tmp_path: Path) -> str:
    fsspec.filesystem("memory").store.clear()
    return "memory://there"


def test_what_arrives_is_the_dataset_and_its_manifest_comes_last(fake_dataset: Path, url: str) -> None:
    names: list[str] = []
    assert data.push(fake_dataset, url, names.append) == data.verify(url) == data.read_manifest(fake_dataset)
    assert names[-1] == data.MANIFEST
    assert sorted(names) == sorted(path.name for path in fake_dataset.iterdir())


def test_again_it_sends_nothing_twice(fake_dataset: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data.push(fake_dataset, url)
    files = fsspec.filesystem("memory")
    files.rm("/there/dataset.json")
    files.rm("/there/val.parquet")
    sent: list[str] = []
    monkeypatch.setattr("m3di.data.upkeep.push.upload", lambda folder, path, entry: sent.append(entry.file))
    data.push(fake_dataset, url)
    assert sent == ["val.parquet", "dataset.json"]


@pytest.mark.parametrize("name", ["README.md", "val-00000.tar", "dataset.json"])
def test_what_is_somebody_elses_stays(name: str, fake_dataset: Path, url: str, tmp_path: Path) -> None:
    other = shutil.copytree(fake_dataset, tmp_path / "other")
    data.subset(fake_dataset, tmp_path / "cut", n=2)
    files = fsspec.filesystem("memory")
    files.pipe_file(f"/there/{name}", (tmp_path / "cut" / name).read_bytes())
    with pytest.raises(M3diError, match=rf"something else is there already(?s:.)*{name}"):
        data.push(other, url)
    assert files.cat_file(f"/there/{name}") == (tmp_path / "cut" / name).read_bytes()


def test_a_damaged_dataset_is_not_published(fake_dataset: Path, url: str, tmp_path: Path) -> None:
    root = Path(shutil.copytree(fake_dataset, tmp_path / "it"))
    (root / "val-00000.tar").write_bytes(b"damaged")
    with pytest.raises(M3diError, match=r"not as it was made(?s:.)*val-00000\.tar"):
        data.push(root, url)
    (root / "val-00000.tar").unlink()
    with pytest.raises(M3diError, match=r"not as it was made(?s:.)*no file"):
        data.push(root, url)


def test_an_edited_card_goes_as_it_is(fake_dataset: Path, url: str, tmp_path: Path) -> None:
    root = Path(shutil.copytree(fake_dataset, tmp_path / "it"))
    words = (root / "README.md").read_bytes() + b"\nIn my words.\n"
    (root / "README.md").write_bytes(words)
    for _ in range(2):
        data.push(root, url)
        assert fsspec.filesystem("memory").cat_file("/there/README.md") == words
    notes: list[str] = []
    assert data.verify(url, on_note=lambda note: notes.append(note.file)) == data.read_manifest(root)
    assert notes == ["README.md"]
    (root / "README.md").write_bytes(b"")
    with pytest.raises(M3diError, match=r"not as it was made(?s:.)*README\.md"):
        data.push(root, "memory://elsewhere")


def test_what_a_killed_push_left_goes_with_the_next_one(fake_dataset: Path, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    (there / unique("train-00000.tar")).write_bytes(b"half")
    others = there / unique("theirs.tar")
    others.write_bytes(b"of somebody else")
    data.push(fake_dataset, there)
    assert [path.name for path in there.glob("*.partial")] == [others.name]
    others.unlink()
    assert data.verify(there) == data.read_manifest(fake_dataset)


def test_of_two_at_once_into_one_folder_one_is_refused(fake_dataset: Path, tmp_path: Path) -> None:
    there = tmp_path / "there"
    refused: list[str] = []

    def push_too(name: str) -> None:
        if not refused:
            with pytest.raises(M3diError, match=rf"another process is writing this folder(?s:.)*{there}") as error:
                data.push(fake_dataset, there)
            refused.append(str(error.value))

    data.push(fake_dataset, there, push_too)
    assert refused
    assert data.verify(there) == data.read_manifest(fake_dataset)
    assert sorted(there.iterdir()) == [there / path.name for path in sorted(fake_dataset.iterdir())]


def test_a_whole_one_is_compared_without_writing(
    fake_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data.push(fake_dataset, tmp_path / "there")

    def fail(*given: object) -> None:
        raise AssertionError(given)

    for name in ("upload", "hold_folder", "make_folder"):
        monkeypatch.setattr(f"m3di.data.upkeep.push.{name}", fail)
    data.push(fake_dataset, tmp_path / "there")


@pytest.mark.parametrize("ending", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_full_disk_or_ctrl_c_leaves_no_half_of_a_file(
    ending: BaseException, fake_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(source: Any, target: Any, length: int) -> None:
        target.write(b"half")
        raise ending

    monkeypatch.setattr("shutil.copyfileobj", half)
    with pytest.raises((M3diError, KeyboardInterrupt)) as caught:
        data.push(fake_dataset, tmp_path / "there")
    assert list((tmp_path / "there").iterdir()) == []
    if isinstance(ending, OSError):
        assert "the disk is full" in str(caught.value)
        assert "make room" in str(caught.value)


def test_the_package_of_the_hub_is_named_where_it_is_missing(
    fake_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(url: str) -> None:
        raise ImportError("Unable to load filesystem from EntryPoint(name='hf')")

    monkeypatch.setattr("fsspec.core.url_to_fs", missing)
    with pytest.raises(UsageError, match=r"cannot open this URL(?s:.)*pip install huggingface_hub"):
        data.push(fake_dataset, "hf://datasets/me/mine")


@pytest.mark.parametrize("bare", ["hf://", "s3:///", "memory://"])
def test_a_url_without_a_place_is_refused(bare: str, fake_dataset: Path) -> None:
    with pytest.raises(UsageError, match=r"names no place(?s:.)*OWNER/NAME"):
        data.push(fake_dataset, bare)
    with pytest.raises(UsageError, match="names no place"):
        data.verify(bare)


def test_one_folder_twice_is_refused(fake_dataset: Path) -> None:
    with pytest.raises(UsageError, match="pushed to another place"):
        data.push(fake_dataset, fake_dataset)


def test_a_folder_in_the_dataset_is_refused(fake_dataset: Path) -> None:
    with pytest.raises(UsageError, match=r"pushed to another place(?s:.)*a folder in the dataset(?s:.)*outside"):
        data.push(fake_dataset, f"{fake_dataset.as_uri()}/below")
    assert not (fake_dataset / "below").exists()


@pytest.mark.parametrize("as_url", [False, True])
def test_what_becomes_of_one_copy_does_not_reach_the_other(fake_dataset: Path, tmp_path: Path, as_url: bool) -> None:
    there = tmp_path / "copy"
    data.push(fake_dataset, there.as_uri() if as_url else there)
    for path in there.iterdir():
        with path.open("r+b") as stream:  # as an editor does, or a disk that fails
            stream.write(b"edited")
    assert data.verify(fake_dataset) == data.read_manifest(fake_dataset)


def test_the_command_says_what_is_there(fake_dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "there"
    result = CliRunner().invoke(cli, ["push", str(fake_dataset), str(out)], catch_exceptions=False)
    assert result.output.endswith(f"{out}: train 20, val 4, test 4 samples\n")
    assert "there: train-00000.tar\n" in result.output
    assert data.verify(out) == data.read_manifest(fake_dataset)


class FakeHub(MemoryFileSystem):
    """The Hub as fsspec sees it: each file that is put is a commit, and a rename would copy it in two more."""

    protocol = "hf"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    commits: ClassVar[list[str]] = []

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return "/" + path.removeprefix("hf://").strip("/")

    def put_file(self, lpath: str, rpath: str, *args: Any, **options: Any) -> None:
        self.commits.append(rpath)
        super().put_file(lpath, rpath, *args, **options)

    def mv(self, *_: Any, **options: Any) -> None:
        raise AssertionError("a file of the Hub has its name at once")


def test_the_hub_gets_one_commit_a_file(fake_dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules["fsspec.registry"]._registry, "hf", FakeHub)  # type: ignore[attr-defined]
    assert data.push(fake_dataset, "hf://datasets/me/mine") == data.verify("hf://datasets/me/mine")
    names = [name.removeprefix("/datasets/me/mine/") for name in FakeHub.commits]
    assert sorted(names) == sorted(path.name for path in fake_dataset.iterdir())
    assert names[-1] == data.MANIFEST
    data.push(fake_dataset, "hf://datasets/me/mine")
    assert len(FakeHub.commits) == len(names)


def test_what_the_hub_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = pytest.importorskip("huggingface_hub")
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(hub.HfFileSystem, "_repo_and_revision_exist", lambda *_: (True, None))
    monkeypatch.setattr(hub.HfApi, "upload_file", lambda api, **options: asked.append(options))
    (tmp_path / "README.md").write_text("a card")
    data.open_folder("hf://datasets/me/mine").put(tmp_path / "README.md", "README.md")
    (call,) = asked
    assert (call["repo_type"], call["repo_id"], call["path_in_repo"]) == ("dataset", "me/mine", "README.md")


def test_a_hub_that_cannot_be_reached_or_knows_nobody_is_one_message(
    fake_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = pytest.importorskip("huggingface_hub")
    client: Any = sys.modules[next(kind.__module__ for kind in hub.errors.HfHubHTTPError.__mro__[1:])]
    library = sys.modules[client.__name__.partition(".")[0]]
    if not library.__name__.startswith("httpx"):
        pytest.skip("this huggingface_hub uses requests, whose errors are an OSError")
    request = library.Request("GET", "https://huggingface.co/api/datasets/me/mine")
    refused = hub.errors.HfHubHTTPError("no", response=library.Response(403, request=request))
    unknown = hub.errors.RepositoryNotFoundError("no", response=library.Response(404, request=request))
    for error, said in (
        (library.ConnectError("Name or service not known"), "the storage cannot be reached(?s:.)*ConnectError"),
        (refused, "or refuses access(?s:.)*HF_TOKEN"),
        (unknown, "knows no such place(?s:.)*HF_TOKEN"),
    ):

        def fails(*_: Any, error: Exception = error, **options: Any) -> None:
            raise error

        monkeypatch.setattr(hub.HfFileSystem, "info", fails)
        with pytest.raises(M3diError, match=said):
            data.push(fake_dataset, "hf://datasets/me/mine")
    monkeypatch.undo()
    with pytest.raises(M3diError, match="alphanumeric"):
        data.push(fake_dataset, "hf://datasets/me--mine/...")
