"""Readers that know nothing of m3di see the same samples as ours."""

from __future__ import annotations

import gc
import json
import logging
import tarfile
import warnings
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image

from m3di import Multimodal3DIdent

SPLITS = {"train": 20, "val": 4, "test": 4}


@pytest.fixture
def quiet() -> Iterator[None]:
    """Others' warnings about themselves are not ours to fix; what they leave open is closed here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
        gc.collect()


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    return tmp_path / "cache"


def pixels(item: dict[str, Any]) -> Any:
    return item["image"].permute(1, 2, 0).numpy()


@pytest.mark.parametrize("split", SPLITS)
def test_tarfile_and_table(fake_dataset: Path, split: str) -> None:
    ours = Multimodal3DIdent(fake_dataset, split=split)
    frame = pd.read_parquet(fake_dataset / f"{split}.parquet")
    assert len(frame) == len(ours) == SPLITS[split]
    for index, row in frame.iterrows():
        with tarfile.open(fake_dataset / row["shard"]) as tar:
            files = {name: tar.extractfile(f"{row['key']}.{name}") for name in ("png", "txt", "json")}
            content = {name: stream.read() for name, stream in files.items() if stream}
        raw = (fake_dataset / row["shard"]).read_bytes()
        for name in content:
            offset, size = row[f"{name}_offset"], row[f"{name}_size"]
            assert raw[offset : offset + size] == content[name]
        item = ours[index]
        np.testing.assert_array_equal(np.asarray(Image.open(BytesIO(content["png"]))), pixels(item))
        assert content["txt"].decode() == row["text.caption"] == item["caption"]
        latents = json.loads(content["json"])
        for view in ("image", "text"):
            for name, value in item[f"z_{view}"].items():
                assert latents[view][name] == row[f"{view}.{name}"] == value


def test_pyarrow(fake_dataset: Path) -> None:
    table = pq.read_table(fake_dataset / "train.parquet")
    ours = Multimodal3DIdent(fake_dataset)
    assert table["text.caption"].to_pylist() == [item["caption"] for item in ours]
    assert table["image.object_color"].to_pylist() == [item["z_image"]["object_color"] for item in ours]


@pytest.mark.slow
@pytest.mark.parametrize("way", ["data_files", "card"])
def test_hugging_face(fake_dataset: Path, offline: Path, quiet: None, way: str) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    if way == "card":
        loaded = datasets.load_dataset(str(fake_dataset), cache_dir=str(offline))
        assert set(loaded) == {"train", "validation", "test"}
    else:
        files = {split: str(fake_dataset / f"{split}-*.tar") for split in SPLITS}
        loaded = datasets.load_dataset("webdataset", data_files=files, cache_dir=str(offline))
    for split, theirs in loaded.items():
        ours = Multimodal3DIdent(fake_dataset, split={"validation": "val"}.get(str(split), str(split)))
        assert len(theirs) == len(ours)
        for foreign, item in zip(theirs, ours, strict=True):
            np.testing.assert_array_equal(np.asarray(foreign["png"]), pixels(item))
            assert foreign["txt"] == item["caption"]
            assert foreign["json"]["image"]["object_color"] == item["z_image"]["object_color"]


@pytest.mark.slow
def test_croissant(fake_dataset: Path, quiet: None, caplog: pytest.LogCaptureFixture) -> None:
    mlcroissant = pytest.importorskip("mlcroissant")
    # What is lacking in `@context` is a warning of the log, not one of the issues.
    log = logging.getLogger("absl")
    log.addHandler(caplog.handler)
    described = mlcroissant.Dataset(str(fake_dataset / "croissant.json"))
    log.removeHandler(caplog.handler)
    assert not caplog.messages
    assert not described.metadata.ctx.issues.errors
    assert not described.metadata.ctx.issues.warnings
    listed = {entry.uuid for entry in described.metadata.distribution}
    assert {path.name for path in fake_dataset.iterdir() if path.suffix in (".tar", ".parquet")} == listed
    ours = Multimodal3DIdent(fake_dataset)
    records = list(described.records("train"))
    assert len(records) == 20
    for record, item in zip(records, ours, strict=True):
        assert record["train/text.caption"].decode() == item["caption"]
        assert record["train/image.object_color"] == item["z_image"]["object_color"]
        assert record["train/image.object_shape"] == item["z_image"]["object_shape"]
