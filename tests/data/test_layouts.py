"""Every layout is exported and read by what is not ours; and one of a package's own, through the command line."""

from __future__ import annotations

import csv
import gc
import hashlib
import inspect
import json
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from PIL import Image

from m3di import Multimodal3DIdent
from m3di.cli.main import cli
from m3di.data import LAYOUTS, Layout, export, import_published, read_manifest, verify
from m3di.errors import M3diError, UsageError
from tests.conftest import FakePool, write_fake_dataset, write_package

SPLITS = {"train": 20, "val": 4, "test": 4}


def files_of(folder: Path) -> dict[str, str]:
    """SHA-256 by name."""
    paths = [folder] if folder.is_file() else [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder.parent).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def published(out: Path) -> dict[str, int]:
    """As the published loader goes through it: images by number, captions by line, latents as CSV."""
    found = {}
    for split in SPLITS:
        captions = (out / split / "text" / "text_raw.txt").read_text(encoding="utf-8").splitlines()
        for name in ("latents_image.csv", "latents_text.csv"):
            with (out / split / name).open(encoding="utf-8", newline="") as file:
                assert len(list(csv.DictReader(file))) == len(captions)
        for path in (out / split / "images").iterdir():
            Image.open(path).load()
        assert len(list((out / split / "images").iterdir())) == len(captions)
        found[split] = len(captions)
    return found


def image_folder(out: Path) -> dict[str, int]:
    """As `datasets` pairs images with lines of metadata."""
    found = {}
    for split in SPLITS:
        folder = out / {"val": "validation"}.get(split, split)
        rows = [json.loads(line) for line in (folder / "metadata.jsonl").read_text(encoding="utf-8").splitlines()]
        for row in rows:
            Image.open(folder / row["file_name"]).load()
        found[split] = len(rows)
    return found


def croissant(out: Path) -> dict[str, int]:
    """Records of each split, named with their files."""
    described = json.loads(out.read_text(encoding="utf-8"))
    assert described["@type"].endswith("Dataset")
    names = " ".join(each.get("contentUrl", "") + each.get("includes", "") for each in described["distribution"])
    return {split: n for split, n in SPLITS.items() if split in names}


# What reads each: the one line beside its own file that a new layout needs.
READERS: dict[str, Callable[[Path], dict[str, int]]] = {
    "upstream": published,
    "imagefolder": image_folder,
    "croissant": croissant,
}


@pytest.mark.parametrize("name", LAYOUTS.own())
def test_every_layout_is_read_by_what_is_not_ours(name: str, fake_dataset: Path, tmp_path: Path) -> None:
    assert name in READERS, "write what reads the layout without m3di, and enter it in READERS"
    before = files_of(fake_dataset)
    for out in ("a", "b"):
        export(fake_dataset, name, tmp_path / out, on_note=lambda note: None)
    assert READERS[name](tmp_path / "a") == SPLITS
    one, other = ([*files_of(tmp_path / out).values()] for out in ("a", "b"))
    assert sorted(one) == sorted(other)  # equal bytes
    assert files_of(fake_dataset) == before
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize("name", LAYOUTS.own())
def test_every_layout_says_what_it_is(name: str) -> None:
    assert inspect.getdoc(LAYOUTS[name]) != inspect.getdoc(Layout)


@pytest.mark.parametrize("name", sorted({*LAYOUTS.own()} - {"croissant"}))
def test_a_layout_overwrites_nothing(name: str, fake_dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "thesis.tex").write_text("mine")
    with pytest.raises(M3diError, match="not empty"):
        export(fake_dataset, name, tmp_path / "a", on_note=lambda note: None)
    assert (tmp_path / "a" / "thesis.tex").read_text() == "mine"


def test_what_is_exported_as_published_is_imported_again(fake_dataset: Path, tmp_path: Path) -> None:
    export(fake_dataset, "upstream", tmp_path / "up", on_note=lambda note: None)
    assert import_published(tmp_path / "up", tmp_path / "in").n_samples == read_manifest(fake_dataset).n_samples


def test_an_image_folder_needs_images(tmp_path: Path) -> None:
    source = SimpleNamespace(spec=SimpleNamespace(rendered={}, made={}), folder="data/texts")
    with pytest.raises(M3diError, match=r"there are no images(?s:.)*data/texts"):
        LAYOUTS["imagefolder"]().write(source, tmp_path / "a")  # type: ignore[arg-type]


def test_an_image_folder_takes_images_and_texts_alone(tmp_path: Path) -> None:
    spec = SimpleNamespace(rendered={"image": 1}, made={"depths": SimpleNamespace(modality="depth")})
    with pytest.raises(M3diError, match=r"no place for files that are no images(?s:.)*depths \(depth\)"):
        LAYOUTS["imagefolder"]().write(SimpleNamespace(spec=spec, folder="data"), tmp_path / "a")  # type: ignore[arg-type]


OWN_SPLITS = """
extends: m3di
name: own-splits
splits: {train: 5, val: 2, test: 4, test_shifted: 2, heldout: 3, no_arrow: 1}
"""
SIZES = {"train": 5, "validation": 2, "test": 4, "test_shifted": 2, "heldout": 3, "no_arrow": 1}


@pytest.fixture(scope="module")
def own_splits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Splits in whose names others find `train` and `test`, or neither."""
    spec = tmp_path_factory.mktemp("own") / "own.yaml"
    spec.write_text(OWN_SPLITS)
    return write_fake_dataset(spec.parent / "data", spec=str(spec), size_px=8, n_train=None, n_val=None, n_test=None)


def test_an_image_folder_says_which_folder_is_which_split(own_splits: Path, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"mixes or drops test_shifted, heldout, no_arrow$"):
        export(own_splits, "imagefolder", tmp_path / "it")
    card = (tmp_path / "it" / "README.md").read_text(encoding="utf-8")
    (config,) = yaml.safe_load(card.split("---\n", 2)[1])["configs"]
    found = {each["split"]: len([*tmp_path.glob(f"it/{each['path']}/*.png")]) for each in config["data_files"]}
    assert found == SIZES


@pytest.mark.slow
def test_hugging_face_keeps_the_splits_of_an_image_folder_apart(
    own_splits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    export(own_splits, "imagefolder", tmp_path / "it", on_note=lambda note: None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = datasets.load_dataset(str(tmp_path / "it"), cache_dir=str(tmp_path / "cache"))
        assert {name: len(split) for name, split in loaded.items()} == SIZES
        for name, split in loaded.items():
            ours = Multimodal3DIdent(own_splits, {"validation": "val"}.get(name, name))
            assert [each["text.caption"] for each in split] == [each["caption"] for each in ours]
            for theirs, item in zip(split, ours, strict=True):
                np.testing.assert_array_equal(np.asarray(theirs["image"]), item["image"].permute(1, 2, 0).numpy())
        gc.collect()


@pytest.fixture
def with_mask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dataset with a mask beside each image."""
    outcomes = FakePool.outcomes

    def masked(self: FakePool, jobs: Any) -> Any:
        for each in outcomes(self, jobs):
            yield replace(each, image=replace(each.image, passes={"mask": each.image.png}))

    monkeypatch.setattr(FakePool, "outcomes", masked)
    return write_fake_dataset(tmp_path / "masked", passes=("mask",))


@pytest.mark.parametrize("layout", ["upstream", "imagefolder"])
def test_an_export_says_which_files_it_lacks(layout: str, with_mask: Path, tmp_path: Path) -> None:
    notes: list[str] = []
    export(with_mask, layout, tmp_path / "it", on_note=notes.append)
    (note,) = notes
    assert note.endswith("image.mask are not in this layout: they stay in the shards")


@pytest.mark.parametrize("of", ["this version", "a version that named them"])
def test_an_export_of_a_dataset_with_masks_is_imported(of: str, with_mask: Path, tmp_path: Path) -> None:
    export(with_mask, "upstream", tmp_path / "up", on_note=lambda note: None)
    path = tmp_path / "up" / "m3di.json"
    plan = json.loads(path.read_text())
    assert "image.mask" not in plan["extensions"]
    if of != "this version":
        plan["extensions"]["image.mask"] = "mask.png"
        path.write_text(json.dumps(plan))
    back = import_published(tmp_path / "up", tmp_path / "in")
    assert back.extensions == {"image": "png", "text": "txt", "latents": "json"}
    verify(tmp_path / "in")
    one, other = Multimodal3DIdent(with_mask)[3], Multimodal3DIdent(tmp_path / "in")[3]
    assert one["caption"] == other["caption"] and one["image"].equal(other["image"])


CAPTIONS_ONLY = """
from m3di.data import Layout, register_layout, whole_folder

@register_layout("captions")
class Captions(Layout):
    '''Captions alone, a line a sample.'''

    def write(self, source, out):
        with whole_folder(out) as folder:
            for split in source.n_samples:
                lines = source.table(split)["text.caption"].to_pylist()
                (folder / f"{split}.txt").write_text("\\n".join(lines))
        return "there are no images"
"""


@pytest.mark.parametrize("how", ["--import", "entry point"])
def test_a_layout_of_a_users_own_is_one_file(how: str, extension_folder: Path, fake_dataset: Path) -> None:
    folder = extension_folder
    options = ["--import", "captions_only"]
    if how == "entry point":
        write_package(folder, "captions_only", CAPTIONS_ONLY, "[m3di.layouts]\ncaptions = captions_only\n")
        sys.path.append(str(folder))
        options = []
    else:
        (folder / "captions_only.py").write_text(CAPTIONS_ONLY)
    arguments = ["export", str(fake_dataset), "--to", "captions", "--out", "out", *options]
    result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "note: there are no images" in result.output
    assert {path.name for path in (folder / "out").iterdir()} == {"train.txt", "val.txt", "test.txt"}
    assert len((folder / "out" / "val.txt").read_text().splitlines()) == 4
    with pytest.raises(UsageError, match=r"no layout is called 'caption'(?s:.)*did you mean 'captions'"):
        export(fake_dataset, "caption", folder / "x")
