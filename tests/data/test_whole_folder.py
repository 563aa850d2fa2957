"""What is killed on the way never looks like a whole folder, and the same command goes over its own leftovers."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from m3di import Multimodal3DIdent
from m3di.data import export, import_published, locked, merge, subset
from m3di.data.unfinished import whole_folder as module
from m3di.data.unfinished.whole_folder import whole_folder
from m3di.errors import M3diError
from tests.conftest import slow

CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate"}
Writes = Callable[[Path], Any]


def contents_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def n_changes(write: Writes, out: Path, kill_at: int | None = None) -> int:
    """Run in a process of its own, which kills itself before its change number `kill_at` of the disk; how many it made.

    A change: a folder or file made, written, renamed or removed beside `out` or in it.
    """
    reader, writer = os.pipe()
    process = os.fork()
    if process == 0:
        count = 0

        def see(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal count
            is_change = event in CHANGES or (event == "open" and bool((arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR)))
            if is_change and str(arguments[0]).startswith(str(out.parent)):
                if count == kill_at:
                    os.kill(os.getpid(), signal.SIGKILL)
                count += 1

        code = 1
        try:
            sys.addaudithook(see)
            write(out)
            os.write(writer, count.to_bytes(4, "little"))
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    with open(reader, "rb") as stream:  # noqa: PTH123 - a pipe
        said = stream.read()
    _, status = os.waitpid(process, 0)
    assert os.waitstatus_to_exitcode(status) == (0 if kill_at is None else -signal.SIGKILL)
    return int.from_bytes(said, "little")


@pytest.fixture(scope="module")
def sources(fake_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two halves of a dataset, and the whole in the published layout."""
    root = tmp_path_factory.mktemp("sources")
    subset(fake_dataset, root / "a", where="image.object_shape < 3")
    subset(fake_dataset, root / "b", where="image.object_shape >= 3")
    export(fake_dataset, "upstream", root / "published", on_note=lambda note: None)
    return root


@pytest.fixture
def writes(fake_dataset: Path, sources: Path) -> dict[str, Writes]:
    quiet: Any = {"on_note": lambda note: None}
    return {
        "subset": lambda out: subset(fake_dataset, out, n=3),
        "merge": lambda out: merge([sources / "a", sources / "b"], out),
        "upstream": lambda out: export(fake_dataset, "upstream", out, **quiet),
        "imagefolder": lambda out: export(fake_dataset, "imagefolder", out, **quiet),
        "import": lambda out: import_published(sources / "published", out, 10),
    }


@pytest.mark.parametrize("command", slow("subset", "merge", "upstream", "imagefolder", "import"))
def test_killed_on_the_way(command: str, writes: dict[str, Writes], tmp_path: Path) -> None:
    write = writes[command]
    (tmp_path / "whole").mkdir()
    total = n_changes(write, tmp_path / "whole" / "it")
    whole = contents_of(tmp_path / "whole" / "it")
    assert total > len(whole) > 5
    for kill_at in (2, total // 2, total - 2):  # the last two: its name, and the lock
        out = tmp_path / f"{kill_at}" / "it"
        out.parent.mkdir()
        n_changes(write, out, kill_at)
        assert not out.exists()
        with pytest.raises(M3diError, match="there is no m3di dataset here"):
            Multimodal3DIdent(out)
        write(out)
        assert contents_of(out) == whole
        assert [path.name for path in out.parent.iterdir()] == ["it"]


@pytest.mark.slow
def test_killed_when_it_has_its_name(writes: dict[str, Writes], tmp_path: Path) -> None:
    """Then it is whole, and only the lock is left."""
    (tmp_path / "whole").mkdir()
    total = n_changes(writes["subset"], tmp_path / "whole" / "it")
    out = tmp_path / "it"
    n_changes(writes["subset"], out, total - 1)
    assert contents_of(out) == contents_of(tmp_path / "whole" / "it")
    assert {path.name for path in tmp_path.iterdir()} == {"whole", "it", "it.partial.lock"}
    with pytest.raises(M3diError, match="the output folder is not empty"):
        writes["subset"](out)


def test_an_empty_folder_is_replaced_and_keeps_its_mode(tmp_path: Path) -> None:
    out = tmp_path / "it"
    out.mkdir(mode=0o750)
    out.chmod(0o750)
    with whole_folder(out) as folder:
        assert not folder.is_relative_to(out)
        (folder / "a").write_text("a")
        assert not list(out.iterdir())
    assert (out / "a").read_text() == "a"
    assert out.stat().st_mode & 0o777 == 0o750
    assert [path.name for path in tmp_path.iterdir()] == ["it"]


def test_a_link_leads_to_the_folder(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "it")
    with whole_folder(tmp_path / "link") as folder:
        (folder / "a").write_text("a")
    assert (tmp_path / "disk" / "it" / "a").read_text() == "a"
    assert (tmp_path / "link").is_symlink()


def test_what_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), whole_folder(tmp_path / "it") as folder:
        (folder / "a").write_text("a")
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("number", "message"), [(errno.ENOSPC, "the disk is full"), (errno.EIO, "a file cannot be")])
def test_what_the_disk_refuses_is_a_message(number: int, message: str, tmp_path: Path) -> None:
    with (
        pytest.raises(M3diError, match=rf"{message}(?s:.)*x/train\.tar(?s:.)*run the same command again"),
        whole_folder(tmp_path / "it"),
    ):
        raise OSError(number, os.strerror(number), "x/train.tar")
    assert not list(tmp_path.iterdir())


def test_it_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def note(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    with whole_folder(tmp_path / "it") as folder:
        (folder / "below").mkdir()
        (folder / "below" / "a").write_text("a")
        (folder / "b").write_text("b")
    assert sorted(synced[:-1]) == ["a", "b", "below", "it.partial"]
    assert synced[-1] == tmp_path.name  # the new name itself


def test_folders_that_are_not_ours_stay(tmp_path: Path) -> None:
    (tmp_path / "it.partial").mkdir()
    (tmp_path / "it.partial" / "thesis.tex").touch()
    with pytest.raises(M3diError, match=r"a folder is in the way(?s:.)*it\.partial"), whole_folder(tmp_path / "it"):
        pass
    assert (tmp_path / "it.partial" / "thesis.tex").exists()


def test_two_at_once(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "it") as folder:
        (folder / "a").touch()
        with (
            pytest.raises(M3diError, match=rf"another process is writing this folder(?s:.)*process {os.getpid()}"),
            whole_folder(tmp_path / "it"),
        ):
            pass
        with locked(tmp_path):  # a run in the same place is something else
            pass
    assert (tmp_path / "it" / "a").exists()


@pytest.mark.parametrize("what", ["current", "mounted"])
def test_a_folder_that_cannot_be_replaced(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if what == "current":
        monkeypatch.chdir(tmp_path)
    else:
        monkeypatch.setattr(Path, "is_mount", lambda path: path == tmp_path)
    with pytest.raises(M3diError, match=rf"cannot be replaced(?s:.)*{what}(?s:.)*data"), whole_folder(tmp_path):
        pass


def test_who_was_quicker_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder is looked at again under the lock."""
    seen: list[Path] = []
    check = module.check_empty

    def come_between(root: Path) -> None:
        check(root)
        if not seen:
            root.mkdir()
            (root / "theirs").touch()
        seen.append(root)

    monkeypatch.setattr(module, "check_empty", come_between)
    with pytest.raises(M3diError, match="not empty"), whole_folder(tmp_path / "it"):
        pass
    assert (tmp_path / "it" / "theirs").exists()


def test_a_file_where_the_folder_should_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(M3diError, match="the output folder is no folder"), whole_folder(tmp_path / "file"):
        raise AssertionError
    with (
        pytest.raises(M3diError, match=r"the folder cannot be written(?s:.)*choose another"),
        whole_folder(tmp_path / "file" / "it"),
    ):
        raise AssertionError
