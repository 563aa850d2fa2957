from __future__ import annotations

import os
from pathlib import Path

import pytest

from m3di.data import ImageJournal, JournalEntry, finished_images

ENTRIES = [
    JournalEntry(f"{index:09d}", "image", {"n": index, "x": index / 7}, {"png": bytes([index]) * 40, "mask": b"m\n"})
    for index in (2, 0, 1)
]


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    journal = ImageJournal(tmp_path / "train-00000.tar")
    for entry in ENTRIES:
        journal.append(entry)
    journal.close()
    return tmp_path / "train-00000.tar"


def file_of(shard: Path) -> Path:
    return shard.with_name("train-00000.tar.images.partial")


def test_images_come_back_as_they_were(shard: Path) -> None:
    journal = ImageJournal(shard)
    assert len(journal) == 3
    assert [journal.read(entry.key, entry.view) for entry in ENTRIES] == ENTRIES
    assert ("000000001", "image") in journal
    assert ("000000003", "image") not in journal
    journal.append(JournalEntry("000000003", "image", {}, {}))
    assert journal.read("000000000", "image") == ENTRIES[1]
    journal.close()
    assert len(finished_images(shard)) == 4
    ImageJournal(shard).remove()
    assert not file_of(shard).exists()
    assert finished_images(shard) == set()


def test_whatever_a_crash_leaves_of_the_last_image_is_cut_off(shard: Path) -> None:
    """Wherever a killed run, or a copy in mid-run, stopped: whole images stay, and the rest is written again."""
    whole = file_of(shard).read_bytes()
    ends = [whole.index(b"m\n", whole.index(entry.files["png"])) + 2 for entry in ENTRIES]
    cuts = {*range(0, len(whole), 19), *(end + step for end in ends for step in (-1, 0, 1, 9))}
    for cut in sorted(cut for cut in cuts if cut <= len(whole)):
        file_of(shard).write_bytes(whole[:cut])
        journal = ImageJournal(shard)
        assert len(journal) == sum(end <= cut for end in ends)
        for entry in ENTRIES[len(journal) :]:
            journal.append(entry)
        journal.close()
        assert file_of(shard).read_bytes() == whole


@pytest.mark.parametrize("place", [3, 20, 100, 130])
def test_bytes_that_never_reached_the_disk_are_noticed(shard: Path, place: int) -> None:
    """After a power loss a file can have its length, and zeros for its end."""
    raw = bytearray(file_of(shard).read_bytes())
    start = raw.index(b"m\n", raw.index(ENTRIES[1].files["png"])) + 2
    raw[start + place :] = bytes(len(raw) - start - place)
    file_of(shard).write_bytes(raw)
    assert finished_images(shard) == {(entry.key, "image") for entry in ENTRIES[:2]}


def test_an_image_is_on_the_disk_when_append_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr("os.fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_size))
    journal = ImageJournal(tmp_path / "train-00000.tar")
    synced.clear()  # that of the folder
    for number, entry in enumerate(ENTRIES, 1):
        journal.append(entry)
        assert len(synced) == number
        assert synced[-1] == file_of(tmp_path / "train-00000.tar").stat().st_size
    journal.close()


def test_what_follows_the_last_whole_image_is_cut_off_when_it_is_opened(shard: Path) -> None:
    whole = file_of(shard).read_bytes()
    file_of(shard).write_bytes(whole + whole[:90])
    ImageJournal(shard).close()
    assert file_of(shard).read_bytes() == whole
