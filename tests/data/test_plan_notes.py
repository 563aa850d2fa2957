"""One damaged or lost file does not make finished images useless."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from m3di import data, generate
from m3di.data.unfinished.plan_notes import LOG, copy_name, is_plan_note
from m3di.errors import M3diError
from m3di.latents import load_spec
from tests.conftest import FakeRenderPool, fake_options, slow
from tests.generate.test_run import bytes_of


class Stopped(Exception):
    pass


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read only: a run that was interrupted after 13 of 28 samples: one shard is whole, one has five images."""
    out = tmp_path_factory.mktemp("stopped") / "it"

    def stop(done: int, total: int) -> None:
        if done == 13:
            raise Stopped

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Stopped):
        patch.setattr("m3di.generate.workers.RenderPool", FakeRenderPool)
        generate.render(fake_options(out), stop)
    return out


@pytest.fixture
def begun(stopped: Path, tmp_path: Path, pools: type[FakeRenderPool]) -> Path:
    """Another of the same."""
    return Path(shutil.copytree(stopped, tmp_path / "it"))


def plan_of(out: Path, **options: Any) -> data.Plan:
    return generate.make_plan(load_spec("m3di"), fake_options(out, **options))


def empty(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def garble(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"seed": 0', b'"seed": 8'))


Damage = Callable[[Path], None]


def resumed(out: Path, fake_dataset: Path, pools: type[FakeRenderPool]) -> None:
    """The same command goes on and renders what was missing, nothing else."""
    generate.render(fake_options(out))
    assert pools.made[-1].n_rendered == 28 - 13
    assert bytes_of(out) == bytes_of(fake_dataset)


@pytest.mark.slow
@pytest.mark.parametrize("damage", [cut, Path.unlink, *slow(empty, zero)])
@pytest.mark.parametrize("which", ["plan", "copy"])
def test_one_note_is_damaged(
    damage: Damage, which: str, begun: Path, fake_dataset: Path, pools: type[FakeRenderPool]
) -> None:
    damage(begun / (data.PLAN if which == "plan" else copy_name(plan_of(begun))))
    with pytest.raises(M3diError, match=r"a different dataset(?s:.)*seed: 0 \| 1"):  # the other note still tells
        generate.render(fake_options(begun, seed=1))
    resumed(begun, fake_dataset, pools)


@pytest.mark.parametrize("damage", [cut, *slow(empty, zero)])
def test_both_are_damaged_and_the_name_tells(
    damage: Damage, begun: Path, fake_dataset: Path, pools: type[FakeRenderPool]
) -> None:
    for name in (data.PLAN, copy_name(plan_of(begun))):
        damage(begun / name)
    (begun / LOG).unlink()
    with pytest.raises(M3diError, match=r"is damaged, in each copy(?s:.)*repeat the options"):
        generate.render(fake_options(begun, seed=1))
    resumed(begun, fake_dataset, pools)


def test_both_are_lost_and_the_log_tells(begun: Path, fake_dataset: Path, pools: type[FakeRenderPool]) -> None:
    for name in (data.PLAN, copy_name(plan_of(begun))):
        (begun / name).unlink()
    with (begun / LOG).open("ab") as stream:
        stream.write(b'{"half a line')
    with pytest.raises(M3diError, match=r"files that are no m3di dataset(?s:.)*train-00000\.tar"):
        generate.render(fake_options(begun, seed=1))
    resumed(begun, fake_dataset, pools)


def test_nothing_tells(begun: Path, pools: type[FakeRenderPool]) -> None:
    """Another seed, size or quality may have rendered these: nobody can know, so nothing is mixed."""
    for name in (data.PLAN, copy_name(plan_of(begun)), LOG):
        (begun / name).unlink()
    before = bytes_of(begun)
    with pytest.raises(M3diError, match="files that are no m3di dataset"):
        generate.render(fake_options(begun))
    assert bytes_of(begun) == before


def test_a_copy_that_is_not_what_its_name_says_counts_for_nothing(begun: Path) -> None:
    copy = begun / copy_name(plan_of(begun))
    garble(copy)
    (begun / data.PLAN).unlink()
    folder = data.LocalFolder(begun)
    assert data.noted_plan(folder, folder.sizes()) is None


@pytest.mark.slow
def test_where_nothing_is_to_lose_another_dataset_may_begin(tmp_path: Path, pools: type[FakeRenderPool]) -> None:
    out = tmp_path / "it"
    data.prepare_folder(out, plan_of(out))
    for path in out.iterdir():
        empty(path)
    generate.render(fake_options(out, seed=1))
    assert data.read_manifest(out).seed == 1
    assert not any(is_plan_note(path.name) for path in out.iterdir())


def test_nothing_is_written_where_it_is_noted(tmp_path: Path) -> None:
    data.prepare_folder(tmp_path, plan_of(tmp_path))
    before = {path.name: path.stat().st_ino for path in tmp_path.iterdir()}
    assert len(before) == 3
    data.prepare_folder(tmp_path, plan_of(tmp_path))
    assert {path.name: path.stat().st_ino for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("which", ["plan", "copy", "both"])
def test_at_a_url_too(which: str, tmp_path: Path) -> None:
    folder = data.open_folder(f"memory://notes-{which}")
    plan = plan_of(tmp_path)
    data.claim(folder, plan)
    for name in (data.PLAN, copy_name(plan)):
        if which in ("both", "plan" if name == data.PLAN else "copy"):
            folder.remove([name])
            folder.create(name, b"\0" * 99)
    folder.create("train-00000.tar", b"")
    with pytest.raises(M3diError, match=r"a different dataset|is damaged, in each copy"):
        data.claim(folder, plan_of(tmp_path, seed=1))
    if which == "both":
        with pytest.raises(M3diError, match=r"is damaged, in each copy"):
            generate.finalize(folder)
    data.claim(folder, plan)
    assert folder.read(data.PLAN) == folder.read(copy_name(plan))
    assert data.noted_plan(folder, [data.PLAN]) == data.noted_plan(folder, [copy_name(plan)]) == plan


def test_a_storage_that_fails_is_no_damaged_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = data.open_folder("memory://notes-failing")
    data.claim(folder, plan_of(tmp_path))

    def fail(*_: object, **__: object) -> None:
        raise TimeoutError("no answer")

    monkeypatch.setattr(folder._files, "cat_file", fail)  # type: ignore[union-attr]
    with pytest.raises(M3diError, match=r"the storage cannot be reached(?s:.)*no answer"):
        data.claim(folder, plan_of(tmp_path))


def test_a_note_on_a_bad_sector(begun: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = Path.read_bytes

    def fail(path: Path) -> bytes:
        if path.name == data.PLAN:
            raise OSError(5, "Input/output error")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", fail)
    folder = data.LocalFolder(begun)
    assert data.noted_plan(folder, folder.sizes()) == plan_of(begun)
