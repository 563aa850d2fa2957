"""Tables that are not what the manifest promises, with checksums that hold: refused before a row is used."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from m3di import Multimodal3DIdent, data
from m3di.data.format.manifest import Manifest, to_json
from m3di.errors import M3diError
from tests.conftest import slow

Change = Callable[[pa.Table], pa.Table]


def cells(name: str, *first: Any) -> Change:
    """A change of the first cells of a column."""

    def change(table: pa.Table) -> pa.Table:
        values = [*first, *table[name].to_pylist()[len(first) :]]
        place = table.column_names.index(name)
        return table.set_column(place, name, pa.array(values, table.schema.field(name).type))

    return change


def of_type(name: str, kind: pa.DataType) -> Change:
    """A change of the type of a column."""

    def change(table: pa.Table) -> pa.Table:
        place = table.column_names.index(name)
        return table.set_column(place, name, table[name].cast(kind))

    return change


def reseal(root: Path, split: str) -> None:
    """Make the manifest say what the table of a split is."""
    document = json.loads((root / "dataset.json").read_text())
    raw = (root / f"{split}.parquet").read_bytes()
    document["splits"][split]["table"].update(n_bytes=len(raw), sha256=hashlib.sha256(raw).hexdigest())
    (root / "dataset.json").write_bytes(to_json(Manifest.model_validate(document).sealed()))


def forged(source: Path, root: Path, change: Change) -> Path:
    """A copy of a dataset with another table of its split val."""
    shutil.copytree(source, root)
    pq.write_table(change(pq.read_table(root / "val.parquet")), root / "val.parquet")
    reseal(root, "val")
    return root


CHANGES = [
    (cells("key", "../../PWNED"), r"row 0: the key '\.\./\.\./PWNED' is no plain name"),
    (cells("key", "000000001"), "a key is there twice"),
    (cells("shard", "../../secret.txt"), "the shard '../../secret.txt' is not one of the split"),
    (cells("png_offset", 10**9), "row 0: png at 1000000000, .* is not in its shard"),
    (cells("txt_offset", None), "row 0: txt_offset is empty"),
    (cells("image.object_color", float("nan")), "image.object_color is nan, expected 0 to 1"),
    (of_type("image.object_shape_name", pa.binary()), "has the type binary, expected texts or numbers"),
    (of_type("png_offset", pa.uint64()), None),
    (lambda table: table.drop_columns(["shard"]), "column shard is missing"),
    (lambda table: table.slice(1), "3 rows, expected 4"),
    (cells("text.caption", "x" * (8 << 20)), r"column 8 says that it takes 8,\d+,\d+ bytes, expected at most"),
    *slow(
        (cells("key", "/abs"), "row 0: the key '/abs' is no plain name"),
        (cells("shard", "/dev/zero"), "the shard '/dev/zero' is not one of the split"),
        (cells("shard", "train-00000.tar"), "the shard 'train-00000.tar' is not one of the split"),
        (cells("shard", None), "row 0: shard is empty"),
        (cells("png_offset", -5), "row 0: png at -5"),
        (cells("png_offset", 2**63 - 1), "row 0: png at 9223372036854775807"),
        (cells("png_size", 2**62), "is not in its shard"),
        (cells("json_size", -1), "row 0: json at .* -1 bytes"),
        (cells("text.caption", None), "row 0: text.caption is empty"),
        (cells("image.object_shape", None), "row 0: image.object_shape is empty"),
        (cells("image.object_shape", 10**9), "image.object_shape is 1000000000, expected 0 to 6"),
        (of_type("image.object_shape", pa.float64()), "image.object_shape has the type double, expected integers"),
        (of_type("key", pa.large_string()), None),
        (lambda table: table.drop_columns(["image.object_shape"]), "column image.object_shape is missing"),
        (lambda table: pa.concat_tables([table] * 1000), "4000 rows, expected 4"),
    ),
]


@pytest.mark.parametrize(("change", "message"), CHANGES)
def test_a_forged_table(fake_dataset: Path, tmp_path: Path, change: Change, message: str | None) -> None:
    root = forged(fake_dataset, tmp_path / "it", change)
    uses: list[Callable[[], object]] = [
        lambda: Multimodal3DIdent(root, "val"),
        lambda: data.subset(root, tmp_path / "some"),
        lambda: data.export(root, "imagefolder", tmp_path / "folder"),
        lambda: data.export(root, "upstream", tmp_path / "upstream", on_note=print),
    ]
    if message is None:
        assert len(Multimodal3DIdent(root, "val")[[0, 3]]["caption"]) == 2
        return
    for use in uses:
        with pytest.raises(M3diError, match=rf"split 'val' does not fit its dataset\n.*\n  got: +.*{message}"):
            use()
    with pytest.raises(M3diError, match=rf"val\.parquet: .*{message}"):
        data.verify(root)


def test_a_table_that_is_no_text_or_no_table(fake_dataset: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(fake_dataset, tmp_path / "it"))
    raw = (root / "val.parquet").read_bytes()
    (root / "val.parquet").write_bytes(raw.replace(b"image.object_xpos_m", b"image.object_ypos_m"))
    reseal(root, "val")
    with pytest.raises(M3diError, match=r"cannot be read(?s:.)*(duplicate|FieldRef)"):
        Multimodal3DIdent(root, "val")
    for changed in (raw.replace(b"text.caption", b"text.\xffaption"), raw[:-20], b"x" * len(raw)):
        (root / "val.parquet").write_bytes(changed)
        reseal(root, "val")
        for use in (lambda: Multimodal3DIdent(root, "val"), lambda: data.export(root, "croissant", tmp_path / "c")):
            with pytest.raises(M3diError, match="the table of split 'val' cannot be read"):
                use()
        with pytest.raises(M3diError, match=r"val\.parquet: no readable table"):
            data.verify(root, quick=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (cells("origin_index", 10**15), "origin_index is 1000000000000000, expected 0 to 1000000000"),
        (cells("origin_split", "../x"), "origin_split says '../x', expected train, val, test"),
        *slow((cells("origin_seed", -1), "origin_seed is -1")),
        (lambda table: table.drop_columns(["origin_seed"]), "column origin_seed is missing"),
    ],
)
def test_origins_of_a_derived_table(fake_dataset: Path, tmp_path: Path, change: Change, message: str) -> None:
    data.subset(fake_dataset, tmp_path / "some")
    root = forged(tmp_path / "some", tmp_path / "it", change)
    with pytest.raises(M3diError, match=message):
        data.verify(root)


def test_rows_far_apart_are_not_drawn_with_all_between_them(fake_dataset: Path, tmp_path: Path) -> None:
    data.subset(fake_dataset, tmp_path / "some")
    root = forged(tmp_path / "some", tmp_path / "it", cells("origin_index", 10**9 - 1))
    with pytest.raises(M3diError, match=r"val\.parquet: row 0: image\.\w+ is .*, the spec gives"):
        data.verify(root)


def test_a_shard_that_ends_too_early(fake_dataset: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(fake_dataset, tmp_path / "it"))
    (root / "val-00000.tar").write_bytes((root / "val-00000.tar").read_bytes()[:1000])
    with pytest.raises(M3diError, match=r"cannot be read(?s:.)*bytes too early"):
        Multimodal3DIdent(root, "val")[3]
    for use in (
        lambda: data.subset(root, tmp_path / "some", splits=["val"]),
        lambda: data.subset(root, tmp_path / "webp", splits=["val"], images="webp"),
        lambda: data.export(root, "imagefolder", tmp_path / "folder"),
    ):
        with pytest.raises(M3diError, match=r"a file of row 0 cannot be read(?s:.)*val-00000\.tar(?s:.)*m3di verify"):
            use()
