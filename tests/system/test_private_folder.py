"""A folder whose name anybody can guess: ours alone, or refused."""

from __future__ import annotations

import os
import pwd
import tempfile
from pathlib import Path

import pytest

from m3di import data, generate
from m3di.errors import M3diError
from m3di.generate import Part, Staged, default_staging
from m3di.latents import load_spec
from m3di.render.gpu_environment import gpu_environment
from m3di.system.private_folder import make_private, own_temporary_folder
from tests.conftest import FakePool, fake_options

NOT_OURS = r"must belong to you alone, and does not(?s:.)*"


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.fixture
def shared_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for temporary files of everybody."""
    shared = tmp_path / "tmp"
    shared.mkdir()
    shared.chmod(0o1777)
    monkeypatch.setattr(tempfile, "tempdir", str(shared))
    return shared


def test_it_is_made_for_us_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        folder = make_private(tmp_path / "above" / "it")
    finally:
        os.umask(before)
    assert (mode_of(folder), mode_of(folder.parent)) == (0o700, 0o700)
    (folder / "kept").touch()
    assert make_private(folder) == folder
    assert (folder / "kept").exists()


def test_one_that_others_can_only_read_is_closed_to_them(tmp_path: Path) -> None:
    folder = tmp_path / "it"
    folder.mkdir()
    folder.chmod(0o755)
    assert mode_of(make_private(folder)) == 0o700


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702, 0o1777])
def test_one_that_others_may_write_into_is_refused(mode: int, tmp_path: Path) -> None:
    folder = tmp_path / "it"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(M3diError, match=NOT_OURS + rf"others may write into \(mode {mode:04o}\)"):
        make_private(folder)
    assert folder.stat().st_mode & 0o7777 == mode


def test_links_and_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir(mode=0o755)
    (tmp_path / "link").symlink_to(tmp_path / "home")
    (tmp_path / "file").touch()
    with pytest.raises(M3diError, match=NOT_OURS + "a link to .*home"):
        make_private(tmp_path / "link")
    with pytest.raises(M3diError, match=NOT_OURS + "a file"):
        make_private(tmp_path / "file")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(M3diError, match=NOT_OURS + "a link to .*nowhere"):
        make_private(tmp_path / "dangling")
    assert not (tmp_path / "nowhere").exists()


def test_one_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(M3diError, match=NOT_OURS + "Not a directory"):
        make_private(tmp_path / "file" / "it")


def test_one_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_private(tmp_path / "it")
    us = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: us + 1)
    with pytest.raises(M3diError, match=NOT_OURS + rf"a folder of user {us}; you are {us + 1}"):
        make_private(folder)


def test_a_user_without_a_name_has_one_too(shared_tmp: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As in a container that runs under a bare number."""

    def nobody(*_: object) -> None:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    deliver(tmp_path / "out")
    assert [path.name for path in shared_tmp.glob("m3di*")] == [f"m3di-staging-{os.getuid()}"]


def plan_of(out: Path) -> data.Plan:
    return generate.make_plan(load_spec("m3di"), fake_options(out))


def deliver(out: Path, staging: Path | None = None) -> None:
    """Render a part."""
    to, plan = Staged(data.LocalFolder(out), staging or default_staging(), Part(1, 3)), plan_of(out)
    with to.workplace(plan) as place:
        to.claim(plan)
        generate.render_missing(to, place, load_spec("m3di"), plan, FakePool(32))


def test_shards_are_staged_in_a_folder_of_ours(
    shared_tmp: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes: list[int] = []

    def look(root: Path, *_: object) -> None:
        modes.extend(mode_of(folder) for folder in (root, root.parent))

    monkeypatch.setattr("m3di.data.note_devices", look)
    deliver(tmp_path / "out")
    assert modes == [0o700, 0o700]
    assert len(list((tmp_path / "out").glob("*.tar"))) == 2


@pytest.mark.parametrize("what", ["the stage", "the folder above", "links in it"])
def test_who_was_first_in_the_staging_folder_gets_nothing(what: str, shared_tmp: Path, tmp_path: Path) -> None:
    """The name is no secret: it follows from the user, the place and the plan."""
    out, home = tmp_path / "out", tmp_path / "home"
    home.mkdir()
    (home / "thesis.tex").write_text("years of work")
    stage = Staged(data.LocalFolder(out), default_staging(), Part(1, 3)).work_path(plan_of(out))
    if what == "the folder above":
        default_staging().symlink_to(home)
    elif what == "the stage":
        default_staging().mkdir(mode=0o700)
        stage.symlink_to(home)
    else:
        stage.mkdir(parents=True)
        for folder in (stage, stage.parent):
            folder.chmod(0o777)
        (stage / "train-00000.tar.partial").symlink_to(home / "thesis.tex")
    with pytest.raises(M3diError, match=NOT_OURS):
        deliver(out)
    assert [path.name for path in home.iterdir()] == ["thesis.tex"]
    assert (home / "thesis.tex").read_text() == "years of work"


def test_a_staging_folder_of_the_users_own_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "scratch").symlink_to(tmp_path / "disk")
    deliver(tmp_path / "out", tmp_path / "scratch" / "m3di")
    assert len(list((tmp_path / "out").glob("*.tar"))) == 2


def test_compiled_kernels_are_kept_in_a_folder_of_ours(shared_tmp: Path) -> None:
    """The driver runs what it finds there."""
    cache = Path(gpu_environment({})["CUDA_CACHE_PATH"])
    assert cache == own_temporary_folder("kernels") / "cuda"
    assert (mode_of(cache), mode_of(cache.parent)) == (0o700, 0o700)
    cache.rmdir()
    cache.parent.chmod(0o777)
    with pytest.raises(M3diError, match=NOT_OURS):
        gpu_environment({})
    assert "CUDA_CACHE_PATH" not in gpu_environment({"CUDA_CACHE_PATH": "/mine"})
