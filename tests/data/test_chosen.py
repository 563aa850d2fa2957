"""Which samples, split and views: whatever stands for integers is one, and what does not is refused."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from m3di import Multimodal3DIdent
from m3di.data import subset
from m3di.errors import M3diError, UsageError

MASK = [index in (2, 3, 17) for index in range(20)]


@pytest.fixture(scope="module")
def dataset(fake_dataset: Path) -> Multimodal3DIdent:
    return Multimodal3DIdent(fake_dataset)


@pytest.mark.parametrize(
    "index",
    [
        MASK,
        tuple(MASK),
        [np.bool_(each) for each in MASK],
        np.array(MASK),
        torch.tensor(MASK),
        pd.Series(MASK),
        pa.array(MASK),
        [2, 3, 17],
        (2, 3, -3),
        np.array([2, 3, 17], np.uint8),
        torch.tensor([2, 3, -3]),
        [torch.tensor(2), np.int32(3), np.array(17)],
        pd.Series([2, 3, 17]),
    ],
)
def test_lists_and_masks(dataset: Multimodal3DIdent, index: Any) -> None:
    batch = dataset[index]
    assert batch["caption"] == [dataset[row]["caption"] for row in (2, 3, 17)]
    assert torch.equal(batch["image"], dataset[[2, 3, 17]]["image"])


@pytest.mark.parametrize("index", [7, -13, np.int64(7), np.uint8(7), np.array(7), torch.tensor(7), torch.tensor(-13)])
def test_integers(dataset: Multimodal3DIdent, index: Any) -> None:
    assert isinstance(dataset[index]["caption"], str)
    assert dataset[index]["caption"] == dataset[7]["caption"]


@pytest.mark.parametrize("index", [range(3, 9), slice(3, 9), slice(np.int64(3), torch.tensor(9))])
def test_ranges(dataset: Multimodal3DIdent, index: Any) -> None:
    assert dataset[index]["caption"] == [dataset[row]["caption"] for row in range(3, 9)]


@pytest.mark.parametrize("index", [[], (), np.zeros(20, bool), [False] * 20, torch.tensor([], dtype=torch.int64)])
def test_nothing(dataset: Multimodal3DIdent, index: Any) -> None:
    assert dataset[index]["caption"] == []


@pytest.mark.parametrize(
    "index",
    [
        *(
            1.0,
            np.float64(1),
            np.array(1.0),
            torch.tensor(1.0),
            True,
            np.bool_(True),
            np.array(True),
            torch.tensor(True),
        ),
        *(None, {1, 2}, {1: 2}, object(), b"1", 1j),
        *([1.0], ["1"], [None], [True, 2], [[1, 2]], np.zeros((2, 2), int), torch.ones(20), np.array(["1"])),
        slice(0.0, 2),
    ],
)
def test_what_is_no_index(dataset: Multimodal3DIdent, index: Any) -> None:
    with pytest.raises(TypeError, match=r"samples are chosen by an integer|slice indices must be integers"):
        dataset[index]


def test_a_name_is_explained(dataset: Multimodal3DIdent) -> None:
    with pytest.raises(TypeError, match=r"got str 'image'; dataset\[0\]\['image'\] is that part of a sample"):
        dataset["image"]  # type: ignore[index]


@pytest.mark.parametrize("n", [19, 21])
def test_a_mask_of_another_length(dataset: Multimodal3DIdent, n: int) -> None:
    for mask in ([True] * n, np.ones(n, bool), torch.ones(n, dtype=torch.bool)):
        with pytest.raises(IndexError, match=f"a mask of {n} samples; the dataset has 20"):
            dataset[mask]


def test_masks_of_a_filtered_dataset(fake_dataset: Path) -> None:
    some = Multimodal3DIdent(fake_dataset, filter="key >= '000000010'")
    assert some[np.arange(10) == 4]["caption"] == [some[4]["caption"]]
    with pytest.raises(IndexError, match="a mask of 20 samples; the dataset has 10"):
        some[np.ones(20, bool)]


def test_the_split_is_also_called_validation(fake_dataset: Path, tmp_path: Path) -> None:
    dataset = Multimodal3DIdent(fake_dataset, split="validation")
    assert dataset.split == "val"
    assert dataset[0]["caption"] == Multimodal3DIdent(fake_dataset, split="val")[0]["caption"]
    n_samples = {"train": 0, "val": 4, "test": 0}
    assert subset(fake_dataset, tmp_path / "val", splits=["validation"]).n_samples == n_samples


@pytest.mark.parametrize(
    ("split", "near"), [("valid", "val"), ("VAL", "val"), ("Test", "test"), ("training", "train"), ("tset", "test")]
)
def test_a_near_miss_of_a_split(fake_dataset: Path, tmp_path: Path, split: str, near: str) -> None:
    with pytest.raises(UsageError, match=rf"no split '{split}'(?s:.)*train, val, test(?s:.)*did you mean '{near}'"):
        Multimodal3DIdent(fake_dataset, split=split)
    with pytest.raises(UsageError, match=rf"no split '{split}'(?s:.)*--split(?s:.)*did you mean '{near}'"):
        subset(fake_dataset, tmp_path / "out", splits=[split])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": None}, "no split None"),
        ({"split": ["train"]}, r"no split \['train'\]"),
        ({"views": 5}, r"`views` takes names(?s:.)*5"),
        ({"views": ["image", None]}, r"`views` takes names(?s:.)*None"),
        ({"factors": [["object_shape"]]}, "`factors` takes names"),
        ({"factors": "object_shpe"}, r"no factor 'object_shpe'(?s:.)*did you mean 'object_shape'"),
    ],
)
def test_what_is_no_name(fake_dataset: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Multimodal3DIdent(fake_dataset, **options)


def test_one_view_and_one_factor(fake_dataset: Path) -> None:
    dataset = Multimodal3DIdent(fake_dataset, views="image", factors="object_shape")
    assert set(dataset[0]) == {"image", "z_image"}
    assert list(dataset[0]["z_image"]) == ["object_shape"]
    with pytest.raises(UsageError, match=r"no view 'Image'(?s:.)*did you mean 'image'"):
        Multimodal3DIdent(fake_dataset, views="Image")


def test_what_it_is(fake_dataset: Path, dataset: Multimodal3DIdent) -> None:
    assert repr(dataset) == (
        f"Multimodal3DIdent({str(fake_dataset)!r}, split='train'): 20 samples of image (image), text (text)"
    )
    some = Multimodal3DIdent(fake_dataset, filter="key < '000000003'", views="text")
    assert repr(some).endswith("3 of 20 samples of text (text)")
    assert repr(pickle.loads(pickle.dumps(some))) == repr(some)


@pytest.mark.parametrize("condition", [None, "image.object_color > 0.5"])
def test_rows(fake_dataset: Path, condition: str | None) -> None:
    dataset = Multimodal3DIdent(fake_dataset, filter=condition)
    again = pickle.loads(pickle.dumps(dataset))
    for table in (dataset.table, again.table):
        assert table["text.caption"].to_pylist() == [item["caption"] for item in dataset]
        assert table["image.object_color"].to_pylist() == [item["z_image"]["object_color"] for item in dataset]
    frame = dataset.to_pandas()
    assert list(frame.columns) == dataset.table.column_names
    assert frame["image.object_shape"].tolist() == [item["z_image"]["object_shape"] for item in dataset]
    assert len(pickle.dumps(dataset)) < 50_000  # not the table


def test_a_frame_without_pandas(dataset: Multimodal3DIdent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(M3diError, match="a DataFrame needs pandas"):
        dataset.to_pandas()
