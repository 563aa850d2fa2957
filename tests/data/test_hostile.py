"""Datasets from strangers: whatever their files say, nothing outside is touched, and each fault is one message."""

from __future__ import annotations

import json
import os
import resource
import shutil
from pathlib import Path

import pytest

from m3di import data
from m3di.data.load.sources import open_shards
from m3di.errors import M3diError
from m3di.generate.repair import repair
from tests.conftest import FakeRenderPool, write_fake_dataset
from tests.data.hostile import Sound, run_case

GIGABYTE_KB = 1 << 20
SIZES = {"n_train": 6, "n_val": 2, "n_test": 1, "size_px": 8, "shard_size": 4}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Sound:
    """Read only."""
    folder = tmp_path_factory.mktemp("sound")
    rendered = write_fake_dataset(folder / "rendered", **SIZES)
    data.subset(rendered, folder / "derived", n=5)
    data.export(rendered, "upstream", folder / "published", on_note=lambda note: None)
    other = write_fake_dataset(folder / "other", seed=1, **SIZES)
    return Sound(rendered, folder / "derived", other, folder / "published")


def run_cases(numbers: range, sound: Sound, tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wrong = [each for number in numbers for each in run_case(number, sound, tmp_path / str(number))]
    assert not wrong, "\n".join(wrong)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < GIGABYTE_KB


@pytest.mark.slow
def test_forged_datasets(sound: Sound, tmp_path: Path, pools: type[FakeRenderPool]) -> None:
    run_cases(range(10), sound, tmp_path)


@pytest.mark.slow
def test_hundreds_of_forged_datasets(sound: Sound, tmp_path: Path, pools: type[FakeRenderPool]) -> None:
    run_cases(range(1000, 1400), sound, tmp_path)


@pytest.mark.slow
def test_what_is_written_follows_no_link(sound: Sound, tmp_path: Path, pools: type[FakeRenderPool]) -> None:
    """A dataset that was unpacked from an archive may hold links where a repair writes."""
    root = Path(shutil.copytree(sound.rendered, tmp_path / "it"))
    precious = tmp_path / "precious.txt"
    precious.write_text("years of work")
    for name in ("README.md", "dataset.json", "train.parquet", "train-00000.tar", "train-00000.tar.images"):
        (root / f"{name}.partial").symlink_to(precious)
    for name in ("README.md", "train.parquet", "train-00000.tar"):
        (root / name).unlink()
    assert repair(root)
    assert precious.read_text() == "years of work"
    assert data.verify(root) == data.read_manifest(sound.rendered)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["train.parquet", "train-00000.tar"])
@pytest.mark.timeout(20)
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(name: str, sound: Sound, tmp_path: Path) -> None:
    root = Path(shutil.copytree(sound.rendered, tmp_path / "it"))
    (root / name).unlink()
    os.mkfifo(root / name)
    for act in (
        lambda: data.subset(root, tmp_path / "subset"),
        lambda: data.export(root, "upstream", tmp_path / "export", on_note=lambda note: None),
    ):
        with pytest.raises(M3diError, match="this is no plain file"):
            act()
    with pytest.raises(M3diError, match=f"{name}: missing"):
        data.verify(root)


@pytest.mark.parametrize("name", ["latents_image.csv", "text/text_raw.txt"])
@pytest.mark.timeout(20)
def test_a_pipe_in_the_published_layout_is_not_waited_for(name: str, sound: Sound, tmp_path: Path) -> None:
    root = Path(shutil.copytree(sound.published, tmp_path / "it"))
    (root / "train" / name).unlink()
    os.mkfifo(root / "train" / name)
    with pytest.raises(M3diError, match="train"):
        data.import_published(root, tmp_path / "imported")


def test_a_manifest_larger_than_any_is_not_read(sound: Sound, tmp_path: Path) -> None:
    """A sparse file takes no room on the disk, and all of it in memory."""
    root = Path(shutil.copytree(sound.rendered, tmp_path / "it"))
    os.truncate(root / data.MANIFEST, 64 << 30)
    for act in (data.read_manifest, open_shards, data.verify):
        with pytest.raises(M3diError, match=r"68719476736 bytes\n.*at most 268435456"):
            act(root)


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_a_repair_waits_for_no_pipe(sound: Sound, tmp_path: Path, pools: type[FakeRenderPool]) -> None:
    root = Path(shutil.copytree(sound.rendered, tmp_path / "it"))
    (root / "train-00000.tar").unlink()
    os.mkfifo(root / "train-00000.tar.images.partial")
    os.mkfifo(root / data.LOCK)
    with pytest.raises(M3diError, match=rf"cannot be written\n.*{data.LOCK}\n.*this is no plain file") as refused:
        repair(root)
    assert refused.value.exit_code == 1
    (root / data.LOCK).unlink()
    assert repair(root)
    assert data.verify(root) == data.read_manifest(sound.rendered)


def test_what_a_dataset_says_does_not_steer_the_terminal(sound: Sound, tmp_path: Path) -> None:
    root = Path(shutil.copytree(sound.rendered, tmp_path / "it"))
    document = json.loads((root / "dataset.json").read_text())
    document["spec"]["description"] = "\x1b[2Jall is well"
    (root / "dataset.json").write_text(json.dumps(document))
    assert "m3di: \\x1b[2Jall is well\n" in data.info(root)
    assert str(M3diError("a\x1b[31m\nb")) == "a\\x1b[31m\nb"
