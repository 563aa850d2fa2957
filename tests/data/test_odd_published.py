"""The published layout as it comes after a few years on other people's disks: right, or refused with a hint."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import re
import shutil
import struct
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from m3di import Multimodal3DIdent
from m3di.data import export, import_published, verify
from m3di.data.format import images
from m3di.data.format.images import decode
from m3di.errors import M3diError
from tests.conftest import slow

IMAGE_CSV, TEXT_CSV = LATENTS = ("train/latents_image.csv", "train/latents_text.csv")
TEXT = "train/text/text_raw.txt"


@pytest.fixture
def foreign(published_dataset: Path, tmp_path: Path) -> Path:
    shutil.copytree(published_dataset, tmp_path / "it")
    for path in [tmp_path / "it" / "m3di.json", *(tmp_path / "it").glob("*/m3di.parquet")]:
        path.unlink()
    return tmp_path / "it"


def rewrite(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.write_bytes(change(path.read_bytes()))


def cell(path: Path, row: int, column: str, value: str) -> None:
    lines = [line.split(",") for line in path.read_text().splitlines()]
    lines[row + 1][lines[0].index(column)] = value
    path.write_text("\n".join(map(",".join, lines)) + "\n")


def check_same(fake_dataset: Path, place: Path, splits: tuple[str, ...] = ("train", "val", "test")) -> None:
    for split in splits:
        ours, theirs = Multimodal3DIdent(fake_dataset, split), Multimodal3DIdent(place, split)
        assert theirs[:]["caption"] == ours[:]["caption"]
        assert torch.equal(theirs[:]["image"], ours[:]["image"])
        assert [item["z_image"] for item in theirs] == [item["z_image"] for item in ours]


def crlf(to: Path) -> None:
    for name in (*LATENTS, TEXT):
        rewrite(to / name, lambda raw: raw.replace(b"\n", b"\r\n"))


def bom(to: Path) -> None:
    for name in (*LATENTS, TEXT):
        rewrite(to / name, lambda raw: b"\xef\xbb\xbf" + raw)


def final_newline(to: Path) -> None:
    rewrite(to / TEXT, lambda raw: raw + b"\n")


def apple_double(to: Path) -> None:
    for path in list((to / "train" / "images").glob("*.png")):
        (path.parent / f"._{path.name}").write_bytes(b"\0\5\x16\7")
    for name in (".DS_Store", "train/.DS_Store", "train/images/Thumbs.db", "train/text/._text_raw.txt"):
        (to / name).write_bytes(b"x")


def whole_floats(to: Path) -> None:
    for name in LATENTS:
        rewrite(to / name, lambda raw: re.sub(rb"(?m)^([0-9]+),", rb"\1.0,", raw))


def all_at_once(to: Path) -> None:
    for change in EACH_ALONE:
        change(to)


def linked_images(to: Path) -> None:
    (to / "train/images").rename(to / "elsewhere")
    (to / "train/images").symlink_to("../elsewhere")


EACH_ALONE = (whole_floats, final_newline, crlf, bom, apple_double)
FINE: list[Callable[[Path], object]] = [
    all_at_once,
    lambda to: rewrite(to / IMAGE_CSV, lambda raw: raw.replace(b",object", b", object")),
    lambda to: (to / "val").rename(to / "validation"),
]


@pytest.mark.slow
@pytest.mark.parametrize("change", [*slow(*EACH_ALONE, linked_images), *FINE])
def test_what_is_read_right(
    fake_dataset: Path, foreign: Path, tmp_path: Path, change: Callable[[Path], object]
) -> None:
    change(foreign)
    check_same(fake_dataset, foreign)
    import_published(foreign, tmp_path / "back")
    verify(tmp_path / "back")
    check_same(fake_dataset, tmp_path / "back")


WRONG: list[tuple[Callable[[Path], object], str]] = [
    (
        lambda to: rewrite(to / TEXT, lambda raw: raw.replace(b"the", b"th\xe4", 3)),
        r"not in UTF-8(?s:.)*text_raw\.txt, line \d+(?s:.)*xe4(?s:.)*iconv -f latin1",
    ),
    (lambda to: rewrite(to / TEXT, lambda raw: raw + b"\n\n"), r"differ in length(?s:.)*21"),
    (
        lambda to: cell(to / IMAGE_CSV, 2, "object_shape", "3.7"),
        r"object_shape is no integer(?s:.)*/latents_image\.csv, row 2",
    ),
    (lambda to: cell(to / IMAGE_CSV, 4, "object_shape", "teapot"), r"object_shape is no integer(?s:.)*'teapot'"),
    (lambda to: cell(to / IMAGE_CSV, 4, "object_shape", ""), r"object_shape is no integer(?s:.)*row 4(?s:.)*None"),
    (lambda to: cell(to / IMAGE_CSV, 5, "spotlight_pos", ""), r"spotlight_pos is no number(?s:.)*row 5"),
    (lambda to: cell(to / IMAGE_CSV, 5, "spotlight_pos", "nan"), r"spotlight_pos is no number(?s:.)*row 5"),
    (lambda to: cell(to / IMAGE_CSV, 5, "spotlight_pos", "0,5"), "cannot be read"),
    (
        lambda to: cell(to / TEXT_CSV, 1, "text_phrasing", "0.5"),
        r"text_phrasing is no integer(?s:.)*/latents_text\.csv, row 1",
    ),
    (lambda to: cell(to / TEXT_CSV, 3, "object_shape", "9"), r"contradict each other in object_shape(?s:.)*row 3"),
    (lambda to: cell(to / TEXT_CSV, 0, "object_ypos", "1e9"), r"contradict each other in object_ypos(?s:.)*row 0"),
    (
        lambda to: rewrite(to / TEXT_CSV, lambda raw: raw.replace(b"object_ypos", b"object_xpos")),
        r"columns of the published layout are missing(?s:.)*each once",
    ),
    (lambda to: rewrite(to / IMAGE_CSV, lambda raw: raw.replace(b",", b";")), r"are missing(?s:.)*commas between"),
    (lambda to: shutil.copytree(to / "val", to / "validation"), r"split 'val' is there twice(?s:.)*val/, validation/"),
]


@pytest.mark.parametrize(("change", "message"), WRONG)
def test_what_is_refused(foreign: Path, tmp_path: Path, change: Callable[[Path], object], message: str) -> None:
    change(foreign)
    with pytest.raises(M3diError, match=message):
        import_published(foreign, tmp_path / "back")
    with pytest.raises(M3diError, match=message):
        Multimodal3DIdent(foreign)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda to: cell(to / TEXT_CSV, 3, "object_shape", "9"), r"contradict each other in object_shape"),
        (lambda to: cell(to / TEXT_CSV, 3, "object_color_name", "red"), r"published files differ(?s:.)*color_name"),
        (lambda to: cell(to / TEXT_CSV, 3, "object_color_index", "0"), r"published files differ(?s:.)*color_index"),
        (lambda to: cell(to / TEXT_CSV, 3, "text_phrasing", "9"), r"published files differ(?s:.)*text_phrasing"),
        (lambda to: cell(to / IMAGE_CSV, 3, "object_color", "0.5"), r"published files differ(?s:.)*object_color"),
        (
            lambda to: cell(to / IMAGE_CSV, 3, "object_shape", "0.5"),
            r"object_shape is no integer|contradict each other",
        ),
        (lambda to: rewrite(to / TEXT, lambda raw: raw.replace(b"the", b"teh", 1)), r"published files differ"),
    ],
)
def test_an_export_of_ours_that_was_edited(
    fake_dataset: Path, tmp_path: Path, change: Callable[[Path], object], message: str
) -> None:
    export(fake_dataset, "upstream", tmp_path / "up")
    change(tmp_path / "up")
    for read in (Multimodal3DIdent, lambda place: import_published(place, tmp_path / "back")):
        with pytest.raises(M3diError, match=message):
            read(tmp_path / "up")


@pytest.mark.slow
@pytest.mark.parametrize("change", [crlf, *slow(final_newline, bom, apple_double)])
def test_an_export_of_ours_that_was_touched(
    fake_dataset: Path, tmp_path: Path, change: Callable[[Path], object]
) -> None:
    export(fake_dataset, "upstream", tmp_path / "up")
    change(tmp_path / "up")
    check_same(fake_dataset, tmp_path / "up")
    assert import_published(tmp_path / "up", tmp_path / "back").fingerprint == verify(fake_dataset).fingerprint


def test_images_under_other_names(foreign: Path, tmp_path: Path) -> None:
    for path in list((foreign / "train" / "images").iterdir()):
        path.rename(path.with_suffix(".PNG"))
    with pytest.raises(M3diError, match=r"number of images(?s:.)*20, called images/00\.png to images/19\.png"):
        import_published(foreign, tmp_path / "back")
    dataset = Multimodal3DIdent(foreign)
    with pytest.raises(M3diError, match=r"sample 3 of split 'train' cannot be read(?s:.)*where you got it from"):
        dataset[3]


def packed(folder: Path, path: Path, prefix: str = "m3di") -> Path:
    names = sorted(each for each in folder.rglob("*") if each.is_file())
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for each in names:
                archive.write(each, f"{prefix}/{each.relative_to(folder)}")
                archive.writestr(f"__MACOSX/{prefix}/{each.relative_to(folder).parent}/._{each.name}", b"\0\5")
        return path
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for each in names:
            tar.add(each, f"{prefix}/{each.relative_to(folder)}")
    ways: dict[str, Callable[[bytes], bytes]] = {".bz2": bz2.compress, ".xz": lzma.compress, ".tar": bytes}
    path.write_bytes(ways.get(path.suffix, gzip.compress)(raw.getvalue()))
    return path


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        ("it.zip", "deep/down/m3di"),
        *slow(("no-ending", "m3di"), ("it.tar.gz", ".")),
        *slow(("it.zip", "m3di"), ("it.tar", "."), ("it.tar", "deep/down/m3di")),
        *slow(("it.tar.bz2", "m3di"), ("it.tar.xz", "m3di")),
    ],
)
def test_archives(fake_dataset: Path, foreign: Path, tmp_path: Path, name: str, prefix: str) -> None:
    import_published(packed(foreign, tmp_path / name, prefix), tmp_path / "back")
    verify(tmp_path / "back")
    check_same(fake_dataset, tmp_path / "back")


@pytest.mark.parametrize("name", ["it.tar.gz", *slow("it.zip", "it.tar.bz2", "it.tar.xz")])
def test_a_flipped_bit_is_never_imported_as_something_else(
    fake_dataset: Path, foreign: Path, tmp_path: Path, name: str
) -> None:
    for split in ("train", "test"):
        shutil.rmtree(foreign / split)
    whole = packed(foreign, tmp_path / name).read_bytes()
    chosen, n_refused = random.Random(1), 0
    for _ in range(30):
        flipped = bytearray(whole)
        flipped[chosen.randrange(len(whole))] ^= 1 << chosen.randrange(8)
        (tmp_path / name).write_bytes(flipped)
        shutil.rmtree(tmp_path / "back", ignore_errors=True)
        try:
            import_published(tmp_path / name, tmp_path / "back")
        except M3diError:
            n_refused += 1
        else:
            check_same(fake_dataset, tmp_path / "back", ("val",))
    assert n_refused > 15


@pytest.mark.parametrize("damage", ["checksum", "length", "cut off", "a header"])
def test_archives_are_read_to_their_end(foreign: Path, tmp_path: Path, damage: str) -> None:
    """Of gzip, what stands behind the last file; of tar, what stands behind a header that is none."""
    path = packed(foreign, tmp_path / ("it.tar" if damage == "a header" else "it.tar.gz"))
    raw = bytearray(path.read_bytes())
    if damage == "cut off":
        del raw[-9:]
    elif damage == "a header":
        raw[raw.index(b"m3di/val/text") + 1] ^= 1
    else:
        raw[{"checksum": -6, "length": -2}[damage]] ^= 1
    path.write_bytes(raw)
    with pytest.raises(M3diError, match=r"archive cannot be read: it is damaged(?s:.)*download it again"):
        import_published(path, tmp_path / "back")


def zip_member(name: str, mode: int = 0o100644) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


@pytest.mark.parametrize(
    ("info", "message"),
    [
        (zip_member("../train/images/0.png"), "a path that leads out"),
        (zip_member("/etc/passwd"), "a path that leads out"),
        (zip_member("train/images/0.png", 0o120777), "a link or a device"),
    ],
)
def test_zip_files_that_are_refused(tmp_path: Path, info: zipfile.ZipInfo, message: str) -> None:
    with zipfile.ZipFile(tmp_path / "it.zip", "w") as archive:
        archive.writestr(info, b"/etc/passwd")
    with pytest.raises(M3diError, match=message):
        import_published(tmp_path / "it.zip", tmp_path / "back")
    assert not (tmp_path / "back").exists()


@pytest.mark.parametrize("name", ["it.zip", "it.tar.gz"])
def test_an_archive_of_something_else(tmp_path: Path, name: str) -> None:
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "notes.txt").write_text("x")
    with pytest.raises(M3diError, match=rf"not the published layout(?s:.)*where:    {tmp_path}/{name}"):
        import_published(packed(tmp_path / "else", tmp_path / name), tmp_path / "back")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["else", name]


def test_an_encrypted_zip(foreign: Path, tmp_path: Path) -> None:
    raw = bytearray(packed(foreign, tmp_path / "it.zip").read_bytes())
    for magic, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = -1
        while (start := raw.find(magic, start + 1)) >= 0:
            raw[start + at] |= 1
    (tmp_path / "it.zip").write_bytes(raw)
    with pytest.raises(M3diError, match=r"cannot be read(?s:.)*encrypted(?s:.)*unpack it, and import the folder"):
        import_published(tmp_path / "it.zip", tmp_path / "back")


CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
PALETTE = np.random.default_rng(7).integers(0, 256, (256, 3), dtype=np.uint8)


def png(colour: int, depth: int, samples: Any) -> bytes:
    """A PNG of any kind, of samples [height, width, channels]."""
    height, width, _ = samples.shape
    if depth == 16:
        lines = [row.astype(">u2").tobytes() for row in samples]
    else:
        bits = np.unpackbits(samples.astype(np.uint8)[..., None], axis=-1)[..., 8 - depth :]
        lines = [np.packbits(row.reshape(-1)).tobytes() for row in bits]
    chunks = [(b"IHDR", struct.pack(">2I5B", width, height, depth, colour, 0, 0, 0))]
    chunks += [(b"PLTE", PALETTE[: 1 << depth].tobytes())] if colour == 3 else []
    chunks += [(b"IDAT", zlib.compress(b"".join(b"\0" + line for line in lines))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


@pytest.mark.parametrize(("colour", "depth"), [(colour, depth) for colour, each in DEPTHS.items() for depth in each])
def test_every_kind_of_png_is_the_same_with_and_without_imagecodecs(
    colour: int, depth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = np.random.default_rng(depth).integers(0, 1 << depth, (5, 7, CHANNELS[colour]))
    raw = png(colour, depth, samples)
    with_it = decode(raw, "png")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "imagecodecs", None)
        images._decoder.cache_clear()
        without = decode(raw, "png")
    images._decoder.cache_clear()
    np.testing.assert_array_equal(with_it, without)
    if colour == 3:
        expected = PALETTE[samples[..., 0]]
    else:
        shades = samples >> 8 if depth == 16 else samples * 255 // ((1 << depth) - 1)
        expected = shades[..., :3] if colour in (2, 6) else np.repeat(shades[..., :1], 3, axis=2)
    np.testing.assert_array_equal(with_it, expected)


def test_grey_of_16_bits_is_imported_and_pictured(foreign: Path, tmp_path: Path) -> None:
    grey = np.arange(32 * 32).reshape(32, 32, 1) * 64
    for path in foreign.glob("*/images/*.png"):
        path.write_bytes(png(0, 16, grey))
    import_published(foreign, tmp_path / "back")
    verify(tmp_path / "back")
    expected = torch.tensor(grey[..., 0] >> 8, dtype=torch.uint8)
    for place in (foreign, tmp_path / "back"):
        assert torch.equal(Multimodal3DIdent(place)[3]["image"], expected.expand(3, 32, 32))
    sheet = decode((tmp_path / "back" / "samples.png").read_bytes(), "png")
    assert torch.equal(torch.tensor(sheet[:, 32:64, 1]), expected)
