from __future__ import annotations

from pathlib import Path

import pytest

from m3di import data
from m3di.errors import M3diError
from m3di.repair import repair
from tests.conftest import FakeRenderPool, write_fake_dataset
from tests.test_generate import bytes_of


def test_repair_renders_what_is_bad_and_nothing_else(tmp_path: Path, pools: type[FakeRenderPool]) -> None:
    root = write_fake_dataset(tmp_path / "it", interventions=("object_shape=cow",))
    whole = bytes_of(root)
    assert repair(root) == []
    raw = bytearray(whole["train-00001.tar"])
    raw[1000] ^= 1
    (root / "train-00001.tar").write_bytes(raw)
    (root / "test.parquet").write_bytes(b"")
    (root / "README.md").unlink()
    (root / "val-00004.tar").write_bytes(b"foreign")
    assert repair(root) == ["README.md", "test.parquet", "train-00001.tar", "val-00004.tar"]
    assert bytes_of(root) == whole
    assert [pool.n_rendered for pool in pools.made] == [8]
    (root / "val.parquet").unlink()
    assert repair(root) == ["val.parquet"]
    assert bytes_of(root) == whole
    assert len(pools.made) == 1


def test_what_cannot_be_repaired(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_fake_dataset(tmp_path / "it")
    manifest = data.read_manifest(root)
    (root / "val-00000.tar").unlink()
    with monkeypatch.context() as patch:
        patch.setattr("m3di.repair.version", lambda _: "9.9")
        with pytest.raises(M3diError, match=r"other versions rendered this dataset(?s:.)*bpy 9\.9"):
            repair(root)
    data.write_manifest(root, manifest.model_copy(update={"source": "imported"}))
    with pytest.raises(M3diError, match=r"was imported cannot be rendered anew(?s:.)*val-00000\.tar: missing"):
        repair(root)
    (root / "dataset.json").write_text((root / "dataset.json").read_text().replace('"seed": 0', '"seed": 1'))
    with pytest.raises(M3diError, match="the manifest is damaged"):
        repair(root)
