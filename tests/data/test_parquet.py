"""One reader of Parquet: a process that used it ends as it should, and a folder called NAME=VALUE is a folder."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from m3di import Multimodal3DIdent, data
from m3di.data import export, import_published, info, merge, subset, verify
from m3di.data.format.parquet import UNREADABLE, read_csv, read_parquet, read_parquet_schema
from m3di.generate.repair import repair
from tests.conftest import FakeRenderPool, slow
from tests.generate.test_run import bytes_of

ROOT = Path(__file__).parents[2]

EXITS = """
import os, sys
import fsspec, pyarrow.compute
import m3di.cli.main, m3di.data, m3di.data.upkeep.subset_merge, m3di.data.load.where
from m3di.data.load.sources import open_source
from m3di.data.storage.places import open_folder

root, way, n = sys.argv[1], sys.argv[2], int(sys.argv[3])
codes = []
files = fsspec.filesystem("memory")
for name in os.listdir(root):
    if os.path.isfile(os.path.join(root, name)):
        files.pipe_file(f"/it/{name}", open(os.path.join(root, name), "rb").read())
for _ in range(n):
    child = os.fork()  # each child ends as a process of its own, and need not import all that again
    if not child:
        break
    codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
else:
    print(sorted(set(codes)))
    sys.exit()
if way == "subset":
    sys.argv[1:] = ["subset", root, "--out", root + "-out", "--where", "image.object_shap == 3"]
    m3di.cli.main.main()
table = open_source(open_folder("memory://it" if way == "url" else root)).table("train")
if way == "filter":
    for condition in (pyarrow.compute.field("image.object_shape") == 3, "image.object_shape == 3"):
        m3di.data.load.where.mask_of(condition, table)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="forks")
@pytest.mark.parametrize(
    ("way", "n", "code"),
    [("open", 12, 0), ("url", 12, 0), ("filter", 12, 0), ("subset", 12, 2), ("published", 12, 0)],
)
def test_a_process_that_opened_a_dataset_ends_as_it_should(
    fake_dataset: Path, tmp_path: Path, way: str, n: int, code: int
) -> None:
    """Where Arrow read from bytes of Python's, up to 6 of 10 of them aborted (status 134)."""
    root = fake_dataset
    if way == "published":
        root = tmp_path / "published"
        export(fake_dataset, "upstream", root)
    command = [sys.executable, "-W", "ignore", "-c", EXITS, str(root), way, str(n)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.stdout.splitlines()[-1] == f"[{code}]"


def test_nothing_else_reads_parquet() -> None:
    readers = re.compile(r"read_table\(|ParquetFile|ParquetDataset|pq\.read_|pacsv\.read_|read_feather|ds\.dataset\(")
    found = {
        str(path.relative_to(ROOT / "m3di"))
        for path in (ROOT / "m3di").rglob("*.py")
        if readers.search(path.read_text(encoding="utf-8"))
    }
    assert found == {"data/format/parquet.py"}


NAMES = slow("object_xpos=right", "image.object_shape=3", "key=000000000", "a=b=c", "key=0/shape=cow")


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_called_name_value(fake_dataset: Path, tmp_path: Path, pools: type[FakeRenderPool], name: str) -> None:
    root = shutil.copytree(fake_dataset, tmp_path / name)
    verify(root)
    verify(root, quick=True)
    assert info(root) == info(fake_dataset)
    dataset = Multimodal3DIdent(root)
    assert dataset.table.equals(Multimodal3DIdent(fake_dataset).table)
    some, others = root / "seed=0", root / "seed=1"
    subset(root, some, where="image.object_shape < 3")
    subset(root, others, where="image.object_shape >= 3")
    assert merge([some, others], root / "all=1").n_samples == {"train": 20, "val": 4, "test": 4}
    verify(root / "all=1")
    export(root, "upstream", root / "layout=up")
    import_published(root / "layout=up", root / "back=1")
    assert bytes_of(root / "back=1") == bytes_of(fake_dataset)
    for made in (some, others, root / "all=1", root / "layout=up", root / "back=1"):
        shutil.rmtree(made)
    (root / "val-00000.tar").unlink()
    (root / "test.parquet").unlink()
    assert repair(root) == ["test.parquet", "val-00000.tar"]
    (root / data.LOG).unlink()
    assert {path.name: path.read_bytes() for path in root.iterdir() if path.is_file()} == bytes_of(fake_dataset)


def test_reading(fake_dataset: Path, tmp_path: Path) -> None:
    path = fake_dataset / "val.parquet"
    whole = read_parquet(path)
    assert read_parquet(path.read_bytes()).equals(whole)
    assert read_parquet(path, ["key"]).column_names == ["key"]
    assert read_parquet_schema(path).names == whole.column_names
    assert read_csv(b"a,b\n1,x\n").to_pylist() == [{"a": 1, "b": "x"}]
    for source in (b"nonsense", tmp_path / "missing"):
        with pytest.raises(UNREADABLE):
            read_parquet(source)
    with pytest.raises(pa.ArrowInvalid):
        read_csv(b"")
    assert data.read_parquet is read_parquet
