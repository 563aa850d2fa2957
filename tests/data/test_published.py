"""Both ways to the published layout and to ImageFolder, exact to the byte."""

from __future__ import annotations

import gc
import gzip
import io
import json
import math
import re
import shutil
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from m3di import Multimodal3DIdent
from m3di.data import export, import_published, subset, verify
from m3di.data.layouts.published import image_name
from m3di.errors import M3diError, UsageError
from m3di.latents import PALETTES, Spec, captions, palette, sample
from tests.conftest import slow, write_fake_dataset

IMAGE_COLUMNS = (
    "object_shape,object_xpos,object_ypos,object_zpos,object_alpharot,object_betarot,object_gammarot,object_color,"
    "spotlight_pos,spotlight_color,background_color"
)
TEXT_COLUMNS = "object_shape,object_xpos,object_ypos,object_zpos,object_color_name,object_color_index,text_phrasing"


@pytest.fixture
def exported(published_dataset: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(published_dataset, tmp_path / "upstream"))


@pytest.fixture
def foreign(exported: Path) -> Path:
    """The published layout as anybody else would have written it: without the files that we add."""
    for path in [exported / "m3di.json", *exported.glob("*/m3di.parquet")]:
        path.unlink()
    return exported


def bytes_of(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def packed(folder: Path, path: Path, mode: str = "w:gz", prefix: str = "m3di") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        tar.add(folder, prefix)
    return path


@pytest.mark.parametrize(("n", "expected"), [(1, "0"), (10, "7"), (11, "07"), (1000, "007"), (125_000, "000007")])
def test_names_are_padded_to_the_digits_of_the_count(n: int, expected: str) -> None:
    assert image_name(int(expected), n) == f"images/{expected}.png"


def test_the_published_layout(fake_dataset: Path, exported: Path) -> None:
    """Read the way the published loader does: by line, by name of column, by zero-padded name."""
    names = sorted(name for each in PALETTES for name in palette(each).names)
    for split, n in (("train", 20), ("val", 4), ("test", 4)):
        folder = exported / split
        ours = Multimodal3DIdent(fake_dataset, split=split)
        # The reader of pandas itself drops the last digit of some numbers.
        paths = [folder / f"latents_{view}.csv" for view in ("image", "text")]
        z_image, z_text = (pd.read_csv(path, engine="pyarrow") for path in paths)
        assert ",".join(z_image.columns) == IMAGE_COLUMNS
        assert ",".join(z_text.columns) == TEXT_COLUMNS
        text = (folder / "text" / "text_raw.txt").read_text()
        assert not text.endswith("\n")
        assert len(list((folder / "images").iterdir())) == n
        width = math.ceil(math.log10(n))
        for index, caption in enumerate(text.split("\n")):
            item = ours[index]
            assert caption == item["caption"]
            with Image.open(folder / "images" / f"{str(index).zfill(width)}.png") as image:
                np.testing.assert_array_equal(np.asarray(image), item["image"].permute(1, 2, 0).numpy())
            for name in IMAGE_COLUMNS.split(","):
                assert z_image[name][index] == item["z_image"][name]
            color = ours.spec.factors["text_color"].names[item["z_text"]["text_color"]]
            assert z_text["object_color_name"][index] == color
            assert names[z_text["object_color_index"][index]] == color
            assert z_text["text_phrasing"][index] == item["z_text"]["text_phrasing"]


def published_tokens(caption: str) -> list[str]:
    """Words and marks as the published loader cuts a caption of ours: hyphens and slashes join, 's is apart."""
    return re.findall(r"'s\b|[\w/-]+|[^\w\s]", caption)


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_captions_are_what_the_published_loader_and_encoder_take(spec: Spec, split: str) -> None:
    """The file is cut into sentences, one a sample; the longest, with an end mark, has 24 to 31 tokens, or it fails."""
    drawn = sample(spec, split, 300)
    texts = captions(drawn, "text")
    assert re.split(r"(?<=[.!?])\s+", "\n".join(texts)) == texts
    assert all(text.isascii() and text[0].isupper() and text.count(".") == 1 for text in texts)
    for start in range(0, 300, 100):
        assert 24 <= max(len(published_tokens(text)) for text in texts[start : start + 100]) + 1 <= 31
    names = spec.factors["text_color"].names
    drawn.views["text"]["text_color"][:] = names.index(max(names, key=lambda name: len(published_tokens(name))))
    assert max(len(published_tokens(text)) for text in captions(drawn, "text")) + 1 == 30
    assert published_tokens('A cow in "xkcd:robin\'s egg", mid-left.') == [
        *("A", "cow", "in", '"', "xkcd", ":", "robin", "'s", "egg", '"', ",", "mid-left", ".")
    ]


@pytest.mark.parametrize("archive", [None, *slow("w", "w:gz")])
def test_a_round_trip_gives_the_same_dataset(
    fake_dataset: Path, exported: Path, tmp_path: Path, archive: str | None
) -> None:
    source = packed(exported, tmp_path / "it.tar", archive) if archive else exported
    import_published(source, tmp_path / "back")
    assert bytes_of(tmp_path / "back") == bytes_of(fake_dataset)


def test_an_import_of_an_export_says_when_and_on_what_it_was_rendered(exported: Path, tmp_path: Path) -> None:
    noted = json.loads((exported / "m3di.json").read_text())
    assert noted["created"]
    (exported / "m3di.json").write_text(json.dumps(noted | {"created": "2020-02-03", "devices": ["OPTIX card 1.2"]}))
    manifest = import_published(exported, tmp_path / "back")
    assert (manifest.created, manifest.devices) == ("2020-02-03", ("OPTIX card 1.2",))
    verify(tmp_path / "back")


def test_another_rendering_of_the_same_latents_is_another_dataset(foreign: Path) -> None:
    before = Multimodal3DIdent(foreign).fingerprint
    first, second = foreign / "train" / image_name(0, 20), foreign / "train" / image_name(1, 20)
    assert Multimodal3DIdent(foreign).fingerprint == before
    image = first.read_bytes()
    first.write_bytes(second.read_bytes())
    changed = Multimodal3DIdent(foreign).fingerprint
    first.unlink()
    assert len({before, changed, Multimodal3DIdent(foreign).fingerprint}) == 3
    first.write_bytes(image)
    assert Multimodal3DIdent(foreign).fingerprint == before


def test_a_foreign_folder_and_back(fake_dataset: Path, foreign: Path, tmp_path: Path) -> None:
    manifest = import_published(foreign, tmp_path / "back", shard_size=7)
    assert manifest.source == "imported"
    assert len(manifest.splits["train"].shards) == 3
    verify(tmp_path / "back")
    before = bytes_of(foreign)
    export(tmp_path / "back", "upstream", tmp_path / "again")
    after = bytes_of(tmp_path / "again")
    assert {name: after[name] for name in before} == before
    rendered, imported = Multimodal3DIdent(fake_dataset), Multimodal3DIdent(tmp_path / "back")
    assert torch.equal(imported[:]["image"], rendered[:]["image"])
    assert imported[:]["caption"] == rendered[:]["caption"]
    for index in range(20):
        assert imported[index]["z_image"] == rendered[index]["z_image"]
        assert imported[index]["z_text"] == {**rendered[index]["z_text"], "object_zpos": 0.0}
        assert 1 not in imported[index]["text"]
    assert "imported" in (tmp_path / "back" / "README.md").read_text()


def test_one_split_alone_is_train(foreign: Path, tmp_path: Path) -> None:
    manifest = import_published(foreign / "val", tmp_path / "back")
    assert manifest.n_samples == {"train": 4, "val": 0, "test": 0}
    verify(tmp_path / "back")
    assert len(Multimodal3DIdent(tmp_path / "back", split="test")) == 0
    assert len(Multimodal3DIdent(foreign / "val")) == 4


@pytest.mark.parametrize("layout", ["exported", "foreign"])
def test_read_in_place(fake_dataset: Path, layout: str, request: pytest.FixtureRequest) -> None:
    ours, folder = Multimodal3DIdent(fake_dataset), request.getfixturevalue(layout)
    theirs = Multimodal3DIdent(folder)
    assert torch.equal(theirs[:]["image"], ours[:]["image"])
    assert theirs[:]["caption"] == ours[:]["caption"]
    assert theirs[4]["z_image"] == ours[4]["z_image"]
    assert Multimodal3DIdent(folder, split="val").tokenizer == theirs.tokenizer
    if layout == "exported":
        assert theirs.tokenizer == ours.tokenizer
        assert Multimodal3DIdent(folder, factors=["render_seed"])[3]["z_image"]["render_seed"] > 0
    with pytest.raises(UsageError, match="no split 'valid'"):
        Multimodal3DIdent(folder, split="valid")
    (folder / "train" / "images" / "03.png").write_bytes(b"")
    with pytest.raises(M3diError, match=r"sample 3 of split 'train'(?s:.)*images/03\.png"):
        theirs[3]
    (folder / "train" / "latents_text.csv").unlink()
    with pytest.raises(M3diError, match="a file of the published layout cannot be read"):
        Multimodal3DIdent(folder)


def edit(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text().replace(old, new, 1))


def first_color(folder: Path) -> str:
    return str(pd.read_csv(folder / "train" / "latents_text.csv")["object_color_name"][0])


WRONG: list[tuple[Callable[[Path], object], str]] = [
    (lambda to: edit(to / "train/latents_image.csv", "object_shape", "shape"), "columns of the published layout"),
    (lambda to: edit(to / "train/text/text_raw.txt", "\n", " "), r"differ in length(?s:.)*'text/text_raw\.txt': 19"),
    (lambda to: edit(to / "train/latents_text.csv", f"{first_color(to)},", "mauvish,"), "unknown colour names"),
    (lambda to: edit(to / "train/latents_text.csv", f"{first_color(to)},", "red,"), "a colour's index is not that"),
    (lambda to: (to / "train/images/07.png").unlink(), "number of images of split 'train'"),
    (lambda to: (to / "train/images/07.png").rename(to / "train/images/7.png"), "image 7 of split 'train' cannot be"),
    (lambda to: (to / "val/images/2.png").write_bytes(b"x"), r"image 2 of split 'val'(?s:.)*4 images, from images/0"),
    (lambda to: Image.new("RGB", (9, 9)).save(to / "val/images/2.png"), r"another size(?s:.)*9 x 9(?s:.)*32 x 32"),
    (lambda to: (to / "train/latents_image.csv").write_bytes(b""), "a file of the published layout cannot be read"),
    (lambda to: shutil.rmtree(to) or to.mkdir(), "this is not the published layout"),
    (lambda to: shutil.rmtree(to), "nothing to import"),
]


@pytest.mark.parametrize(("damage", "message"), WRONG)
def test_wrong_sources(foreign: Path, tmp_path: Path, damage: Callable[[Path], object], message: str) -> None:
    damage(foreign)
    with pytest.raises(M3diError, match=message):
        import_published(foreign, tmp_path / "back")


def test_values_out_of_range(foreign: Path, tmp_path: Path) -> None:
    frame = pd.read_csv(foreign / "val" / "latents_image.csv", engine="pyarrow")
    frame.loc[2, "spotlight_pos"] = 1.5
    frame.to_csv(foreign / "val" / "latents_image.csv", index=False)
    with pytest.raises(M3diError, match=r"image\.spotlight_pos is out of its range(?s:.)*row 2(?s:.)*1\.5"):
        import_published(foreign, tmp_path / "back")


def test_an_export_that_was_changed(exported: Path, tmp_path: Path) -> None:
    edit(exported / "val" / "text" / "text_raw.txt", "the", "teh")
    with pytest.raises(M3diError, match=r"m3di\.parquet and the published files differ(?s:.)*text_raw"):
        import_published(exported, tmp_path / "back")
    shutil.rmtree(exported / "val")
    with pytest.raises(M3diError, match="the export is not whole"):
        import_published(exported, tmp_path / "other")


def member(name: str, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = "/etc/passwd" if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ""
    return info


@pytest.mark.parametrize(
    ("info", "message"),
    [
        (member("/train/images/00.png"), "a path that leads out"),
        (member("train/../../x.png"), "a path that leads out"),
        (member("..\\x.png"), "a path that leads out"),
        (member("C:/x.png"), "a path that leads out"),
        (member("train/images/00.png", tarfile.SYMTYPE), "a link, a device or a sparse file"),
        (member("train/images/00.png", tarfile.LNKTYPE), "a link, a device or a sparse file"),
        (member("train/images/00.png", tarfile.CHRTYPE), "a link, a device or a sparse file"),
        (member("train/images/00.png", tarfile.FIFOTYPE), "a link, a device or a sparse file"),
    ],
)
def test_hostile_archives_are_refused(tmp_path: Path, info: tarfile.TarInfo, message: str) -> None:
    with tarfile.open(tmp_path / "evil.tar.gz", "w:gz") as tar:
        tar.addfile(info, io.BytesIO(b""))
    with pytest.raises(M3diError, match=rf"{message}(?s:.)*evil\.tar\.gz"):
        import_published(tmp_path / "evil.tar.gz", tmp_path / "in" / "back")
    assert list((tmp_path / "in").iterdir()) == []


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    """A tar header that promises `size` bytes."""
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


def sparse_header(size: int) -> bytes:
    """A GNU header of a file with one block of 512 bytes in it, and the rest a hole."""
    raw = bytearray(header("train/text/text_raw.txt", 512, tarfile.GNUTYPE_SPARSE))
    raw[386:410] = b"%011o\0%011o\0" % (0, 512)
    raw[482], raw[483:495] = 0, b"\x80" + size.to_bytes(11, "big")
    raw[148:156] = b" " * 8
    raw[148:156] = b"%06o\0 " % sum(raw)
    return bytes(raw)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(
            header("train/text/text_raw.txt", 200 << 20) + b"\0" * (200 << 20), r"far too much(?s:.)*of an archive of",
            id="bomb",
        ),
        pytest.param(
            header("train/text/text_raw.txt", 2 << 30) + b"\0" * 512, r"far too much(?s:.)*2,147,483,648 bytes",
            id="one gigantic file",
        ),
        pytest.param(
            sparse_header(1 << 60) + b"x" * 512 + b"\0" * 1024, "a link, a device or a sparse file", id="sparse"
        ),
        pytest.param(
            header("a", 3 << 20, tarfile.XHDTYPE) + b"a" * (3 << 20), "a header of 3,145,728 bytes", id="attributes"
        ),
        pytest.param(
            header("other.txt", 200 << 20) + b"\0" * (200 << 20), r"far too much(?s:.)*or more",
            id="bomb that nobody wants", marks=pytest.mark.slow,
        ),
        pytest.param(
            header("a", 200 << 20, tarfile.GNUTYPE_LONGNAME) + b"a" * (200 << 20), "a header of 209,715,200 bytes",
            id="long name", marks=pytest.mark.slow,
        ),
    ],
)  # fmt: skip
def test_archives_hold_no_more_than_they_may(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "evil.tar.gz").write_bytes(gzip.compress(content, 1))
    with pytest.raises(M3diError, match=message):
        import_published(tmp_path / "evil.tar.gz", tmp_path / "in" / "back")
    assert list((tmp_path / "in").iterdir()) == []


@pytest.mark.slow
def test_a_zip_holds_no_more_than_it_may(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "evil.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("train/text/text_raw.txt", b"\0" * (80 << 20))
    with pytest.raises(M3diError, match=r"far too much(?s:.)*83,886,080 bytes or more"):
        import_published(tmp_path / "evil.zip", tmp_path / "in" / "back")
    assert list((tmp_path / "in").iterdir()) == []


def test_other_archives(foreign: Path, tmp_path: Path) -> None:
    (foreign / "vocab.json").write_text("{}")
    (foreign / "train" / "images" / "notes.txt").write_text("left out")
    import_published(packed(foreign, tmp_path / "a.tar.gz", prefix="."), tmp_path / "back")
    verify(tmp_path / "back")
    (tmp_path / "b.tar.gz").write_bytes((tmp_path / "a.tar.gz").read_bytes()[:-2000])
    with pytest.raises(M3diError, match="the archive cannot be read"):
        import_published(tmp_path / "b.tar.gz", tmp_path / "other")


def test_imagefolder(fake_dataset: Path, tmp_path: Path) -> None:
    export(fake_dataset, "imagefolder", tmp_path / "it")
    ours = Multimodal3DIdent(fake_dataset, split="val")
    lines = (tmp_path / "it" / "validation" / "metadata.jsonl").read_text().splitlines()
    assert len(lines) == 4
    for line, item in zip(map(json.loads, lines), ours, strict=True):
        with Image.open(tmp_path / "it" / "validation" / line["file_name"]) as image:
            np.testing.assert_array_equal(np.asarray(image), item["image"].permute(1, 2, 0).numpy())
        assert line["text.caption"] == item["caption"]
        assert line["image.object_color"] == item["z_image"]["object_color"]


@pytest.mark.slow
def test_hugging_face_reads_the_imagefolder(
    fake_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    export(fake_dataset, "imagefolder", tmp_path / "it")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = datasets.load_dataset("imagefolder", data_dir=str(tmp_path / "it"), cache_dir=str(tmp_path / "cache"))
        assert {name: len(split) for name, split in loaded.items()} == {"train": 20, "validation": 4, "test": 4}
        item = Multimodal3DIdent(fake_dataset)[7]
        np.testing.assert_array_equal(np.asarray(loaded["train"][7]["image"]), item["image"].permute(1, 2, 0).numpy())
        assert loaded["train"][7]["text.caption"] == item["caption"]
        gc.collect()


def test_croissant_alone(fake_dataset: Path, tmp_path: Path) -> None:
    export(fake_dataset, "croissant", tmp_path / "new" / "c.json")
    assert (tmp_path / "new" / "c.json").read_bytes() == (fake_dataset / "croissant.json").read_bytes()
    export(fake_dataset, "croissant", tmp_path)
    assert (tmp_path / "croissant.json").exists()


def test_other_formats_are_exported_as_png(fake_dataset: Path, exported: Path, tmp_path: Path) -> None:
    subset(fake_dataset, tmp_path / "webp", images="webp")
    export(tmp_path / "webp", "upstream", tmp_path / "again")
    assert bytes_of(tmp_path / "again")["val/images/2.png"] == bytes_of(exported)["val/images/2.png"]


def test_export_errors(fake_dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no layout is called 'upsteam'(?s:.)*did you mean 'upstream'"):
        export(fake_dataset, "upsteam", tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    for layout in ("upstream", "imagefolder"):
        with pytest.raises(M3diError, match="the output folder is not empty"):
            export(fake_dataset, layout, tmp_path / "full")
    with pytest.raises(M3diError, match="the output folder is not empty"):
        import_published(fake_dataset, tmp_path / "full")
    other = write_fake_dataset(tmp_path / "3d", spec="3dident", n_train=3)
    with pytest.raises(
        M3diError, match=r"the published layout has no place for this dataset(?s:.)*export --to imagefolder"
    ):
        export(other, "upstream", tmp_path / "out")
    export(other, "imagefolder", tmp_path / "out")


def test_two_images_a_sample(tmp_path: Path) -> None:
    export(write_fake_dataset(tmp_path / "three", spec="m3di-three-views", n_train=3), "imagefolder", tmp_path / "out")
    line = json.loads((tmp_path / "out" / "train" / "metadata.jsonl").read_text().splitlines()[0])
    assert line["image_file_name"] == "000000000.image.png"
    assert (tmp_path / "out" / "train" / line["image_changed_file_name"]).exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.slice(1), "3 rows, expected 4"),
        (lambda table: table.drop_columns(["text.text_color"]), "column text.text_color is missing"),
        (lambda table: table.drop_columns(["key"]), "column key is missing"),
        (lambda table: table.set_column(0, "key", [["../x", "1", "2", "3"]]), "the key '../x' is no plain name"),
    ],
)
def test_the_table_beside_an_export_is_checked(
    exported: Path, tmp_path: Path, change: Callable[[pa.Table], pa.Table], message: str
) -> None:
    path = exported / "val" / "m3di.parquet"
    pq.write_table(change(pq.read_table(path)), path)
    for use in (lambda: Multimodal3DIdent(exported, "val"), lambda: import_published(exported, tmp_path / "back")):
        with pytest.raises(M3diError, match=rf"val/m3di\.parquet\n  got: +.*{message}"):
            use()
    path.write_bytes(b"PAR1" * 9)
    with pytest.raises(M3diError, match="a file of the published layout cannot be read"):
        Multimodal3DIdent(exported, "val")


def test_the_plan_beside_an_export_fits_the_layout(exported: Path) -> None:
    plan = json.loads((exported / "m3di.json").read_text())
    del plan["spec"]["views"]["text"]["factors"]["text_color"]
    (exported / "m3di.json").write_text(json.dumps(plan))
    with pytest.raises(M3diError, match=r"it is no table of the published layout, by the spec in m3di\.json"):
        Multimodal3DIdent(exported, "val")


def test_a_gigantic_csv_is_not_read(exported: Path) -> None:
    with (exported / "val" / "latents_image.csv").open("r+b") as stream:
        stream.truncate(2 << 30)  # a hole
    with pytest.raises(M3diError, match="2,147,483,648 bytes, expected at most 1,073,741,824"):
        Multimodal3DIdent(exported, "val")
