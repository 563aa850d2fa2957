from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from m3di import Multimodal3DIdent
from m3di.data import export, import_published, info, merge, read_manifest, subset, verify
from m3di.errors import M3diError, UsageError
from tests.conftest import slow, write_fake_dataset


@pytest.fixture(scope="module")
def other_seed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fake_dataset(tmp_path_factory.mktemp("other") / "m3di", seed=7, n_train=9)


def test_merge(fake_dataset: Path, other_seed: Path, tmp_path: Path) -> None:
    manifest = merge([fake_dataset, other_seed], tmp_path / "both")
    assert manifest.n_samples == {"train": 29, "val": 8, "test": 8}
    assert manifest.source == "derived"
    verify(tmp_path / "both")
    both, one, two = (Multimodal3DIdent(root) for root in (tmp_path / "both", fake_dataset, other_seed))
    assert torch.equal(both[:20]["image"], one[:]["image"])
    assert torch.equal(both[20:]["image"], two[:]["image"])
    assert both[:]["caption"] == one[:]["caption"] + two[:]["caption"]
    assert both.tokenizer == one.tokenizer
    assert "`origin_*`" in (tmp_path / "both" / "README.md").read_text()


def test_what_cannot_be_joined(fake_dataset: Path, other_seed: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing to join"):
        merge([fake_dataset], tmp_path / "out")
    with pytest.raises(M3diError, match=r"twice in split 'train'(?s:.)*sample 0 of split train with seed 0"):
        merge([fake_dataset, other_seed, fake_dataset], tmp_path / "out")
    larger = write_fake_dataset(tmp_path / "larger", size_px=40)
    with pytest.raises(M3diError, match=r"differ in more than their samples(?s:.)*render\.size_px: 32 \| 40"):
        merge([fake_dataset, larger], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_sample_is_not_joined_into_two_splits(fake_dataset: Path, other_seed: Path, tmp_path: Path) -> None:
    """What would be trained on would be tested on, too."""
    subset(fake_dataset, tmp_path / "cut", splits=["test"], n=2)
    out = tmp_path / "out"
    places = r"twice in the splits 'train' and 'test'(?s:.)*cut \| .*m3di\n"
    message = places + r"(?s:.)*sample 0 of split test with seed 0(?s:.)*another --seed"
    with pytest.raises(M3diError, match=message):
        merge([fake_dataset, tmp_path / "cut"], out, names=[None, "train"])
    with pytest.raises(M3diError, match="twice in the splits 'test' and 'held_out'"):
        merge([other_seed, fake_dataset, tmp_path / "cut"], out, names=[None, None, "held_out"])
    assert not out.exists()
    assert merge([other_seed, tmp_path / "cut"], out, names=[None, "held_out"]).n_samples["held_out"] == 2


@pytest.mark.slow
def test_worlds_of_one_noise_are_joined(fake_dataset: Path, tmp_path: Path) -> None:
    """Equal origins under another mechanism are other samples, in a split of their own."""
    moved = write_fake_dataset(tmp_path / "moved", interventions=("object_xpos=right",), n_train=4)
    subset(moved, tmp_path / "cut", splits=["test"])
    manifest = merge([fake_dataset, tmp_path / "cut"], tmp_path / "both", names=[None, "moved"])
    assert manifest.n_samples == {"train": 20, "val": 4, "test": 4, "moved": 4}
    with pytest.raises(M3diError, match="twice in the splits 'moved' and 'again'"):
        merge([tmp_path / "both", tmp_path / "cut"], tmp_path / "out", names=[None, "again"])


def test_subset_by_split_count_and_condition(fake_dataset: Path, tmp_path: Path) -> None:
    whole = Multimodal3DIdent(fake_dataset)
    subset(fake_dataset, tmp_path / "cows", where="image.object_shape in [1, 2]", splits=["train"], n=3)
    verify(tmp_path / "cows")
    some = Multimodal3DIdent(tmp_path / "cows")
    chosen = [item for item in whole if item["z_image"]["object_shape"] in (1, 2)][:3]
    assert [item["caption"] for item in some] == [item["caption"] for item in chosen]
    assert torch.equal(some[:]["image"], torch.stack([item["image"] for item in chosen]))
    assert read_manifest(tmp_path / "cows").n_samples == {"train": len(chosen), "val": 0, "test": 0}


@pytest.mark.slow
def test_subsets_put_together_are_the_whole(fake_dataset: Path, tmp_path: Path) -> None:
    subset(fake_dataset, tmp_path / "a", where="image.object_xpos == 0")
    subset(fake_dataset, tmp_path / "b", where="image.object_xpos != 0")
    manifest = merge([tmp_path / "a", tmp_path / "b"], tmp_path / "ab")
    assert manifest.n_samples == {"train": 20, "val": 4, "test": 4}
    verify(tmp_path / "ab")
    captions = Multimodal3DIdent(tmp_path / "ab")[:]["caption"]
    assert sorted(captions) == sorted(Multimodal3DIdent(fake_dataset)[:]["caption"])


@pytest.mark.parametrize("images", ["qoi", *slow("webp", "png")])
def test_images_in_another_format(fake_dataset: Path, tmp_path: Path, images: str) -> None:
    subset(fake_dataset, tmp_path / "it", images=images)
    verify(tmp_path / "it")
    assert torch.equal(Multimodal3DIdent(tmp_path / "it")[:]["image"], Multimodal3DIdent(fake_dataset)[:]["image"])


@pytest.mark.slow
def test_several_views_and_no_images(tmp_path: Path) -> None:
    root = write_fake_dataset(tmp_path / "three", spec="m3di-three-views", n_train=5)
    subset(root, tmp_path / "it", n=2, images="webp")
    verify(tmp_path / "it")
    assert read_manifest(tmp_path / "it").extensions["image_changed"] == "image_changed.webp"


@pytest.mark.slow
def test_imported_datasets_are_joined(fake_dataset: Path, other_seed: Path, tmp_path: Path) -> None:
    imported = []
    for number, root in enumerate((fake_dataset, other_seed)):
        export(root, "upstream", tmp_path / f"up{number}")
        for path in [tmp_path / f"up{number}" / "m3di.json", *(tmp_path / f"up{number}").glob("*/m3di.parquet")]:
            path.unlink()
        import_published(tmp_path / f"up{number}", tmp_path / f"in{number}")
        imported.append(tmp_path / f"in{number}")
    assert merge(imported, tmp_path / "both").source == "imported"
    verify(tmp_path / "both")
    both = Multimodal3DIdent(tmp_path / "both")
    assert all(1 not in item["text"] for item in both)
    with pytest.raises(M3diError, match="differ in more than their samples"):
        merge([imported[0], fake_dataset], tmp_path / "mixed")


def test_subset_errors(fake_dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(UsageError, match="no split 'valid'"):
        subset(fake_dataset, out, splits=["valid"])
    with pytest.raises(UsageError, match="--n is too small"):
        subset(fake_dataset, out, n=0)
    with pytest.raises(UsageError, match=r"no image format is called 'webq'(?s:.)*did you mean 'webp'"):
        subset(fake_dataset, out, images="webq")
    with pytest.raises(M3diError, match="no sample is left"):
        subset(fake_dataset, out, where="image.object_color > 2")
    blocked = tmp_path / "file"
    blocked.touch()
    with pytest.raises(M3diError, match="the folder cannot be written"):
        subset(fake_dataset, blocked / "out")
    with pytest.raises(M3diError, match="the output folder is not empty"):
        subset(fake_dataset, fake_dataset)


def test_info(fake_dataset: Path, tmp_path: Path) -> None:
    text = info(fake_dataset)
    assert "samples   train 20, val 4, test 4" in text
    assert "made      rendered, seed 0; size_px 32, quality standard" in text
    assert "object_shape      content   teapot, hare, dragon, cow" in text
    assert "spotlight_color   private   hue in [0, 1]" in text
    export(fake_dataset, "upstream", tmp_path / "up")
    assert "the published layout" in info(tmp_path / "up")


def test_tables_of_other_columns_are_not_joined(fake_dataset: Path, other_seed: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(other_seed, tmp_path / "it"))
    table = pq.read_table(root / "val.parquet")
    pq.write_table(table.append_column("note", [["x"] * table.num_rows]), root / "val.parquet")
    with pytest.raises(M3diError, match=r"tables of split 'val' differ in their columns(?s:.)*got: +note"):
        merge([fake_dataset, root], tmp_path / "out")


def test_an_image_that_cannot_be_shown_in_the_card(fake_dataset: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(fake_dataset, tmp_path / "it"))
    raw = bytearray((root / "train-00000.tar").read_bytes())
    raw[520] ^= 1
    (root / "train-00000.tar").write_bytes(raw)
    with pytest.raises(M3diError, match=r"an image of the dataset cannot be read(?s:.)*000000000\.png"):
        subset(root, tmp_path / "out")


@pytest.mark.slow
def test_the_longest_caption_of_all_fits(fake_dataset: Path, other_seed: Path, tmp_path: Path) -> None:
    """Whatever their order: cut off to the first one's length, captions would lose their ends silently."""
    roots = []
    for number, root in enumerate((fake_dataset, other_seed)):
        export(root, "upstream", tmp_path / f"up{number}")
        for path in [tmp_path / f"up{number}" / "m3di.json", *(tmp_path / f"up{number}").glob("*/m3di.parquet")]:
            path.unlink()
        for path in (tmp_path / f"up{number}").glob("*/text/text_raw.txt"):
            lines = path.read_text().splitlines()
            path.write_text("".join(f"{line}{' It is far away indeed.' * (3 * number)}\n" for line in lines))
        roots.append(import_published(tmp_path / f"up{number}", tmp_path / f"in{number}") and tmp_path / f"in{number}")
    lengths = []
    for order in (roots, roots[::-1]):
        out = tmp_path / f"both{len(lengths)}"
        merge(order, out)
        both = Multimodal3DIdent(out)
        lengths.append(both.tokenizer.length)
        for item in both:
            assert both.tokenizer.decode(item["text"]).endswith("indeed .") == item["caption"].endswith("indeed.")
    assert lengths[0] == lengths[1] == Multimodal3DIdent(roots[1]).tokenizer.length
