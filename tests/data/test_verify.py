from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from m3di.data import (
    DataProblem,
    LocalFolder,
    ShardWriter,
    file_entry,
    finished_manifest,
    plan_of,
    read_manifest,
    read_shard,
    seal,
    subset,
    verify,
)
from m3di.data.format.images import ImageError, check_png, encode
from m3di.data.format.manifest import to_json
from m3di.errors import M3diError


@pytest.fixture
def copy(fake_dataset: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(fake_dataset, tmp_path / "copy"))


def test_a_sound_dataset(fake_dataset: Path) -> None:
    assert verify(fake_dataset).n_samples == {"train": 20, "val": 4, "test": 4}


@pytest.mark.parametrize("name", ["train-00001.tar", "test-00000.tar", "val.parquet"])
def test_a_flipped_byte_is_found_and_its_file_named(copy: Path, name: str) -> None:
    raw = bytearray((copy / name).read_bytes())
    raw[len(raw) // 2] ^= 1
    (copy / name).write_bytes(raw)
    with pytest.raises(M3diError, match=rf"1 of its files(?s:.)*{name}: sha256"):
        verify(copy)


def test_a_card_that_was_edited_is_a_note(copy: Path) -> None:
    (copy / "README.md").write_text((copy / "README.md").read_text() + "\n## Citation\n")
    for quick in (False, True):
        notes: list[DataProblem] = []
        verify(copy, quick=quick, on_note=notes.append)
        assert [str(note) for note in notes] == ["README.md: edited since it was written; it is kept"]
    for damage in ((copy / "README.md").write_bytes, lambda _: (copy / "README.md").unlink()):
        damage(b"")
        with pytest.raises(M3diError, match=r"README\.md: (0 bytes|missing)(?s:.)*--repair  puts that in order"):
            verify(copy)


@pytest.mark.parametrize(
    ("names", "hint"),
    [
        (["croissant.json"], r"--repair  puts that in order; nothing is rendered"),
        (["val.parquet"], r"--repair  writes that again; nothing is rendered"),
        (["val-00000.tar", "train-00002.tar"], r"--repair  renders up to 8 images again"),
        (["train-00001.tar", "train-00000.tar"], r"restore these files from a copy; (?s:.)* up to 16 images"),
    ],
)
def test_what_to_do_next_is_nothing_big(
    copy: Path, names: list[str], hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["m3di.data.upkeep.verify"], "FEW", 10)
    for name in names:
        (copy / name).unlink()
    with pytest.raises(M3diError, match=hint):
        verify(copy)


def test_what_was_not_rendered_is_made_again(copy: Path, tmp_path: Path) -> None:
    subset(copy, tmp_path / "some", n=3)
    (tmp_path / "some" / "train-00000.tar").unlink()
    with pytest.raises(M3diError, match="make it again from what it was derived from"):
        verify(tmp_path / "some")


def test_missing_short_and_foreign_files_in_one_report(copy: Path) -> None:
    (copy / "train-00000.tar").unlink()
    raw = (copy / "train-00001.tar").read_bytes()
    (copy / "train-00001.tar").write_bytes(raw[:-1])
    shutil.copy(copy / "val-00000.tar", copy / "val-00007.tar")
    with pytest.raises(M3diError, match=r"3 of its files") as error:
        verify(copy)
    assert "train-00000.tar: missing" in str(error.value)
    assert f"train-00001.tar: {len(raw) - 1} bytes, expected {len(raw)}" in str(error.value)
    assert "val-00007.tar: not part of the dataset" in str(error.value)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (("splits", "train", "n_samples"), "the shards hold 20 samples, the table has 20 rows, expected 21"),
        (("splits", "train", "shards", 0, "n_samples"), "the shards hold 21 samples, the table has 20 rows"),
        (("splits", "val", "table", "n_samples"), "the shards hold 4 samples, the table has 5 rows, expected 4"),
        (("n_samples", "val"), "the shards of val hold 4 samples, expected 5"),
        (("shard_size",), "shard 0 of train is train-00000.tar with 8 samples, expected train-00000.tar with 9"),
    ],
)
def test_counts_of_a_manifest_agree(copy: Path, place: tuple[str | int, ...], message: str) -> None:
    data = json.loads((copy / "dataset.json").read_text())
    entry = data
    for key in place[:-1]:
        entry = entry[key]
    entry[place[-1]] += 1
    (copy / "dataset.json").write_text(json.dumps(data))
    with pytest.raises(M3diError, match=message):
        verify(copy)


def test_counts_are_recomputed(copy: Path) -> None:
    """A manifest that agrees with itself, and not with the files."""
    data = json.loads((copy / "dataset.json").read_text())
    entry = data["splits"]["val"]
    for each in (data["n_samples"], entry, entry["table"], entry["shards"][0]):
        each["val" if each is data["n_samples"] else "n_samples"] += 1
    (copy / "dataset.json").write_text(json.dumps(data))
    with pytest.raises(M3diError, match=r"parquet: 4 rows, expected 5\n(?s:.)*00000\.tar: 4 samples, expected 5"):
        verify(copy)


def test_members_are_checked(copy: Path) -> None:
    data = json.loads((copy / "dataset.json").read_text())
    data["extensions"]["image"] = "webp"
    (copy / "dataset.json").write_text(json.dumps(data))
    with pytest.raises(M3diError, match=r"train-00000\.tar: sample 000000000 does not have exactly"):
        verify(copy)


def reseal(root: Path) -> None:
    """Make hashes and sizes of the manifest those of the files, whatever they hold."""
    manifest = read_manifest(root)
    splits = {
        name: entry.model_copy(
            update={
                "shards": tuple(file_entry(root / shard.file, shard.n_samples) for shard in entry.shards),
                "table": file_entry(root / entry.table.file, entry.n_samples),
            }
        )
        for name, entry in manifest.splits.items()
    }
    seal(root, plan_of(manifest), splits, created=manifest.created)


def rewrite_shard(root: Path, change: Callable[[int, dict[str, bytes]], None]) -> None:
    """Write the val shard anew with changed files, of the same sizes where the table is to stay true."""
    path = root / "val-00000.tar"
    raw = path.read_bytes()
    writer = ShardWriter(root / "new.tar", ("png", "txt", "json"))
    for number, sample in enumerate(read_shard(path)):
        contents = {name: raw[each.offset : each.offset + each.size] for name, each in sample.members.items()}
        change(number, contents)
        writer.add(sample.key, contents)
    writer.finish()
    (root / "new.tar").rename(path)


def test_quick_looks_at_the_structure_only(copy: Path) -> None:
    raw = bytearray((copy / "val-00000.tar").read_bytes())
    raw[600] ^= 1
    (copy / "val-00000.tar").write_bytes(raw)
    verify(copy, quick=True)
    (copy / "val-00000.tar").write_bytes(raw[:-1])
    with pytest.raises(M3diError, match=r"val-00000\.tar: \d+ bytes, expected"):
        verify(copy, quick=True)


def small_image(number: int, contents: dict[str, bytes]) -> None:
    if number == 2:
        contents["png"] = encode(np.zeros((8, 8, 3), np.uint8), "png")


def no_image(number: int, contents: dict[str, bytes]) -> None:
    contents["png"] = contents["png"][:-1] + b"x"


def other_caption(number: int, contents: dict[str, bytes]) -> None:
    contents["txt"] = contents["txt"].swapcase()


def other_latents(number: int, contents: dict[str, bytes]) -> None:
    contents["json"] = contents["json"].replace(b'"object_shape": ', b'"object_shapf": ')


def no_latents(number: int, contents: dict[str, bytes]) -> None:
    contents["json"] = b"[" + contents["json"][1:]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (small_image, r"sample 000000002: png is at \d+, \d+ bytes; the table says"),
        (no_image, "sample 000000000: its image in image does not decode"),
        (other_caption, "sample 000000000: its caption in text is not that of the table"),
        (other_latents, r"sample 000000000: image\.object_shape is None, the table says"),
        (no_latents, "sample 000000000: its latents are no JSON"),
    ],
)
def test_wrong_samples_with_right_hashes(
    copy: Path, change: Callable[[int, dict[str, bytes]], None], message: str
) -> None:
    rewrite_shard(copy, change)
    reseal(copy)
    with pytest.raises(M3diError, match=rf"1 of its files(?s:.)*val-00000\.tar: {message}"):
        verify(copy)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("column", "change", "message"),
    [
        ("key", lambda values: values[::-1], "its keys do not count up"),
        (
            "image.object_color",
            lambda values: [2.0, *values[1:]],
            r"image\.object_color is 2\.0, expected 0 to 1",
        ),
        (
            "image.object_color",
            lambda values: [*values[:3], 0.5],
            r"image\.object_color is 0\.5, the spec gives",
        ),
        ("text.caption", lambda values: ["A cow.", *values[1:]], r"row 0: text\.caption is 'A cow\.', the spec gives"),
        ("shard", lambda values: ["val-00001.tar"] * 4, r"row 0: the shard 'val-00001\.tar' is not one of the split"),
        ("image.object_color", None, r"column image\.object_color is missing"),
    ],
)
def test_wrong_tables_with_right_hashes(
    copy: Path, column: str, change: Callable[[list[object]], list[object]] | None, message: str
) -> None:
    table = pq.read_table(copy / "val.parquet")
    place = table.column_names.index(column)
    changed = table.remove_column(place)
    if change is not None:
        changed = changed.add_column(place, column, pa.array(change(table[column].to_pylist())))
    pq.write_table(changed, copy / "val.parquet")
    reseal(copy)
    with pytest.raises(M3diError, match=message):
        verify(copy)


def test_a_wrong_size_of_all_images(copy: Path) -> None:
    manifest = read_manifest(copy)
    plan = plan_of(manifest).model_copy(update={"render": {**manifest.render, "size_px": 48}})
    seal(copy, plan, manifest.splits, created=manifest.created)
    with pytest.raises(M3diError, match="its image in image has 32 x 32 pixels, expected 48 x 48"):
        verify(copy)


def test_a_table_that_is_none(copy: Path) -> None:
    (copy / "val.parquet").write_bytes(b"x" * (copy / "val.parquet").stat().st_size)
    with pytest.raises(M3diError, match=r"val\.parquet: no readable table"):
        verify(copy, quick=True)


def test_a_reformatted_manifest_and_leftovers(copy: Path) -> None:
    (copy / "train-00009.tar.partial").write_bytes(b"")
    (copy / "dataset.json").write_bytes((copy / "dataset.json").read_bytes() + b"\n")
    with pytest.raises(M3diError, match=r"dataset\.json: not as it was written(?s:.)*partial: left by an interrupted"):
        verify(copy)


@pytest.mark.slow
def test_every_flipped_byte_is_found(copy: Path) -> None:
    """200 places, drawn evenly over the bytes of all files of the dataset."""
    random = Random(0)
    files = sorted(path for path in copy.iterdir())
    sizes = [path.stat().st_size for path in files]
    # One in four over the small files, since nearly all bytes are those of shards.
    chosen = random.choices(files, sizes, k=150) + random.choices(files, k=50)
    for path in chosen:
        raw = path.read_bytes()
        flipped = bytearray(raw)
        flipped[random.randrange(len(raw))] ^= random.randrange(1, 256)
        path.write_bytes(flipped)
        if path.name == "README.md":  # its owner's to edit: a note
            notes: list[DataProblem] = []
            verify(copy, on_note=notes.append)
            assert [note.file for note in notes] == ["README.md"]
        else:
            with pytest.raises(M3diError, match=path.name.replace(".", r"\.")):
                verify(copy)
        path.write_bytes(raw)
    verify(copy)


def test_a_manifest_that_was_edited_is_noticed_by_its_checksum(copy: Path) -> None:
    """In its own layout, so that nothing but the checksum tells."""
    manifest = read_manifest(copy)
    for forged in (
        manifest.model_copy(update={"seed": manifest.seed + 1}),
        manifest.model_copy(update={"checksum": "0" * 64}),
    ):
        (copy / "dataset.json").write_bytes(to_json(forged))
        with pytest.raises(M3diError, match=r"dataset\.json: not as it was written(?s:.)*restore dataset\.json"):
            verify(copy, quick=True)
    (copy / "dataset.json").write_bytes(to_json(manifest))
    verify(copy, quick=True)


def test_a_png_that_stops_in_a_chunk_is_noticed_wherever_that_is() -> None:
    raw = encode(np.random.default_rng(0).integers(0, 256, (6, 6, 3), dtype=np.uint8), "png")
    borders, end = set(), 8
    while end < len(raw):
        borders.add(end)
        end += 12 + int.from_bytes(raw[end : end + 4], "big")
    assert end == len(raw)
    check_png(raw)
    for cut in set(range(len(raw))) - borders:
        with pytest.raises(ImageError, match=r"checksum of a PNG chunk is wrong|no PNG signature"):
            check_png(raw[:cut])


def test_a_dataset_is_complete_where_every_file_has_its_size(copy: Path) -> None:
    assert finished_manifest(LocalFolder(copy)) is not None
    for name in ("train-00001.tar", "val.parquet", "README.md"):
        raw = (copy / name).read_bytes()
        (copy / name).write_bytes(raw[:-1])
        assert finished_manifest(LocalFolder(copy)) is None
        (copy / name).unlink()
        assert finished_manifest(LocalFolder(copy)) is None
        (copy / name).write_bytes(raw)
    assert finished_manifest(LocalFolder(copy)) is not None
