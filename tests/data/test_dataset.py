from __future__ import annotations

import gc
import io
import multiprocessing
import pickle
import shutil
import subprocess
import sys
import tarfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from m3di import Multimodal3DIdent
from m3di.errors import M3diError, UsageError
from m3di.latents import Spec, captions, sample


def test_an_item_is_what_was_written(fake_dataset: Path, spec: Spec) -> None:
    dataset = Multimodal3DIdent(fake_dataset)
    assert len(dataset) == 20
    drawn = sample(spec, "train", 20)
    texts = captions(drawn, "text")
    for index in range(20):
        item = dataset[index]
        assert set(item) == {"image", "text", "caption", "z_image", "z_text"}
        with tarfile.open(fake_dataset / f"train-{index // 8:05d}.tar") as tar:
            stream = tar.extractfile(f"{index:09d}.png")
            assert stream is not None
            expected = np.asarray(Image.open(io.BytesIO(stream.read())))
        assert item["image"].dtype == torch.uint8
        np.testing.assert_array_equal(item["image"].permute(1, 2, 0).numpy(), expected)
        assert item["caption"] == texts[index]
        assert item["text"].dtype == torch.int64
        assert item["text"].tolist() == dataset.tokenizer.encode(texts[index])
        for view in ("image", "text"):
            expected_z = {name: each[index].item() for name, each in drawn.views[view].items() if name != "render_seed"}
            assert item[f"z_{view}"] == expected_z


def test_splits_and_indices(fake_dataset: Path) -> None:
    dataset = Multimodal3DIdent(fake_dataset, split="val")
    assert len(dataset) == 4
    assert dataset[-1]["caption"] == dataset[3]["caption"]
    with pytest.raises(IndexError, match="sample 4 of 4 in split 'val'"):
        dataset[4]
    assert len([item["caption"] for item in dataset]) == 4


def test_transforms(fake_dataset: Path) -> None:
    dataset = Multimodal3DIdent(
        fake_dataset, transform=lambda image: image.float().mean(), target_transform=lambda z: sorted(z)[0]
    )
    item = dataset[0]
    assert item["image"].ndim == 0
    assert item["z_image"] == "background_color"


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_loader_workers_read_the_same(fake_dataset: Path, method: str) -> None:
    dataset = Multimodal3DIdent(fake_dataset)
    dataset[0]  # a parent that has read already
    loader: DataLoader[Any] = DataLoader(
        dataset, batch_size=5, num_workers=2, multiprocessing_context=multiprocessing.get_context(method)
    )
    batches = list(loader)
    assert len(batches) == 4
    assert batches[0]["image"].shape == (5, 3, 32, 32)
    assert batches[0]["z_image"]["object_shape"].shape == (5,)
    alone = torch.stack([dataset[index]["image"] for index in range(20)])
    assert torch.equal(torch.cat([batch["image"] for batch in batches]), alone)
    assert [text for batch in batches for text in batch["caption"]] == [dataset[i]["caption"] for i in range(20)]


def test_pickles_small(fake_dataset: Path) -> None:
    dataset = Multimodal3DIdent(fake_dataset)
    stored = pickle.dumps(dataset)
    assert len(stored) < 50_000
    assert torch.equal(pickle.loads(stored)[7]["image"], dataset[7]["image"])


@pytest.mark.slow
def test_webdataset_reads_the_same(fake_dataset: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    files = [str(path) for path in sorted(fake_dataset.glob("train-*.tar"))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # webdataset leaves its last shard open
        foreign = list(webdataset.WebDataset(files, shardshuffle=False).decode("rgb8"))
        gc.collect()
    ours = Multimodal3DIdent(fake_dataset)
    assert len(foreign) == 20
    for theirs, item in zip(foreign, ours, strict=True):
        np.testing.assert_array_equal(theirs["png"], item["image"].permute(1, 2, 0).numpy())
        assert theirs["txt"] == item["caption"]
        assert theirs["json"]["image"]["object_color"] == item["z_image"]["object_color"]


def test_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(M3diError, match=r"no m3di dataset here(?s:.)*got:      no dataset\.json(?s:.)*check the path"):
        Multimodal3DIdent(tmp_path)


def test_unknown_split(fake_dataset: Path) -> None:
    with pytest.raises(UsageError, match=r"no split 'tset'(?s:.)*did you mean 'test'"):
        Multimodal3DIdent(fake_dataset, split="tset")


def test_damaged_files_are_named(fake_dataset: Path, tmp_path: Path) -> None:
    root = tmp_path / "copy"
    shutil.copytree(fake_dataset, root)
    dataset = Multimodal3DIdent(root)
    shard = root / "train-00000.tar"
    raw = bytearray(shard.read_bytes())
    raw[512:520] = b"\0" * 8  # the PNG signature of sample 0
    shard.write_bytes(raw)
    with pytest.raises(M3diError, match=r"sample 0 of split 'train' cannot be read(?s:.)*train-00000\.tar, byte 512"):
        dataset[0]
    (root / "train-00001.tar").unlink()
    with pytest.raises(M3diError, match=r"sample 9 of split 'train'(?s:.)*train-00001\.tar"):
        dataset[9]
    (root / "val.parquet").write_bytes(b"nonsense")
    with pytest.raises(M3diError, match=r"table of split 'val' cannot be read(?s:.)*val\.parquet"):
        Multimodal3DIdent(root, split="val")


def test_damaged_manifest(fake_dataset: Path, tmp_path: Path) -> None:
    root = tmp_path / "copy"
    shutil.copytree(fake_dataset, root)
    (root / "dataset.json").write_text((root / "dataset.json").read_text().replace('"seed": 0', '"seed": "x"'))
    with pytest.raises(M3diError, match=r"no valid m3di manifest(?s:.)*dataset\.json: seed"):
        Multimodal3DIdent(root)


@pytest.mark.slow
def test_without_torch_one_clear_message() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from m3di.errors import M3diError\n"
        "import m3di.latents, m3di.data, m3di.cli.main\n"
        "try:\n    from m3di import Multimodal3DIdent\nexcept M3diError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "needs torch" in done.stdout
    assert "pip install 'm3di[train]'" in done.stdout
