"""Small exports say at which words the published loader stops, and how many samples it takes."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import pytest
from click.testing import CliRunner

from m3di import Multimodal3DIdent
from m3di.cli.main import cli
from m3di.data import export, import_published, merge, subset
from m3di.data.layouts.published_words import published_words
from m3di.latents import captions, load_spec, sample
from tests.conftest import write_fake_dataset


def test_words() -> None:
    words = {*("A", "cow", "in", '"', "xkcd", ":", "robin", "'s", "egg", ",", "mid-left", "blue/green", ".")}
    assert published_words(['A cow in "xkcd:robin\'s egg", mid-left.', "blue/green"]) == words


def test_a_small_export(tmp_path: Path) -> None:
    root = write_fake_dataset(tmp_path / "it")
    words = {
        split: {word for item in Multimodal3DIdent(root, split) for word in published_words([item["caption"]])}
        for split in ("train", "val", "test")
    }
    unknown = (words["val"] | words["test"]) - words["train"]
    assert unknown
    with pytest.warns(UserWarning, match="words that train does not have") as caught:
        export(root, "upstream", tmp_path / "up")
    (note,) = (str(each.message) for each in caught)
    assert repr(min(unknown)) in note
    found = re.search(r"the first ([\d,]+) samples of train have them all$", note)
    assert found
    n = int(found[1].replace(",", ""))
    texts = captions(sample(load_spec("m3di"), "train", n), "text")
    assert published_words(texts) >= unknown | words["train"]
    assert not published_words(texts[:-1]) >= unknown | words["train"]  # and no fewer


@pytest.mark.slow
def test_an_export_that_is_large_enough_says_nothing(tmp_path: Path) -> None:
    root = write_fake_dataset(tmp_path / "it", n_train=400, n_val=1, n_test=1, shard_size=400, size_px=8)
    known = {word for item in Multimodal3DIdent(root) for word in published_words([item["caption"]])}
    for split in ("val", "test"):
        assert published_words([Multimodal3DIdent(root, split)[0]["caption"]]) <= known
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        export(root, "upstream", tmp_path / "up")
        export(root, "imagefolder", tmp_path / "folder")


def test_the_command_says_it(fake_dataset: Path, tmp_path: Path) -> None:
    arguments = ["export", str(fake_dataset), "--to", "upstream", "--out", str(tmp_path / "up")]
    done = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    assert re.search(r"note: .*the published loader stops there; the first [\d,]+ samples of train", done.output)
    for name in ("m3di.json", "train/m3di.parquet", "val/m3di.parquet", "test/m3di.parquet"):
        (tmp_path / "up" / name).unlink()
    import_published(tmp_path / "up", tmp_path / "back")
    with pytest.warns(UserWarning, match="stops there; it takes more samples of train"):
        export(tmp_path / "back", "upstream", tmp_path / "again")


def test_no_number_of_samples_is_enough(fake_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("m3di.data.layouts.published_words._STEP", 10)
    monkeypatch.setattr("m3di.data.layouts.published_words._MOST", 20)
    with pytest.warns(UserWarning, match="stops there; more than 20 samples are needed"):
        export(fake_dataset, "upstream", tmp_path / "up")


@pytest.mark.parametrize("how", ["cut", "joined"])
def test_of_cut_and_joined_datasets_no_number_is_known(how: str, fake_dataset: Path, tmp_path: Path) -> None:
    if how == "cut":
        subset(fake_dataset, tmp_path / "it", where="image.object_xpos_name == 'left'")
    else:
        merge([fake_dataset, write_fake_dataset(tmp_path / "other", seed=1)], tmp_path / "it")
    with pytest.warns(UserWarning, match="stops there; it takes more samples of train$"):
        export(tmp_path / "it", "upstream", tmp_path / "up")


def test_where_further_samples_have_no_text_no_number_is_known(tmp_path: Path) -> None:
    rows = [f"0,{split},{index},{split} {index}" for split in ("train", "val", "test") for index in range(20)]
    (tmp_path / "mine.csv").write_text("\n".join(["seed,split,index,text", *rows]))
    (tmp_path / "mine.yaml").write_text("extends: m3di\nname: mine\nviews: {text: {texts: mine.csv}}\n")
    root = write_fake_dataset(tmp_path / "it", spec=str(tmp_path / "mine.yaml"))
    with pytest.warns(UserWarning, match=r"\('test', 'val'\).*; it takes more samples of train$"):
        export(root, "upstream", tmp_path / "up")
