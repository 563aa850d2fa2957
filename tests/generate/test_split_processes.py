"""Splits with processes of their own, from the spec to a verified, repaired, cut and joined dataset."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from m3di import Multimodal3DIdent, data, generate
from m3di.data.names import export, import_published, info, merge, subset, verify
from m3di.errors import M3diError, UsageError
from m3di.generate.repair import repair
from m3di.generate.twins import render_twin
from m3di.latents import do, load_spec, sample
from tests.conftest import FakeRenderPool, fake_options, write_fake_dataset

SPLITS = """extends: m3di
name: many
splits:
  train: {n: 12, given: not (object_shape == "cow" and object_xpos == "right")}
  val: 4
  test: 4
  held_out: {n: 5, given: object_shape == "cow" and object_xpos == "right"}
  shifted:
    n: 6
    factors: {object_color: {mechanism: {name: uniform}}}
    views: {image: {ground: checker, factors: {spotlight_pos: {role: constant, value: 0.5}}}}
  right: {n: 3, interventions: {object_xpos: right}}
"""
SIZES = {"train": 12, "val": 4, "test": 4, "held_out": 5, "shifted": 6, "right": 3}


@pytest.fixture(scope="module")
def spec_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("spec") / "many.yaml"
    path.write_text(SPLITS)
    return path


@pytest.fixture(scope="module")
def made(spec_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of it, around a fake renderer."""
    out = tmp_path_factory.mktemp("made") / "data"
    return write_fake_dataset(out, spec=str(spec_file), n_train=None, n_val=None, n_test=None, shard_size=4)


@pytest.fixture
def own(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "own"))


@pytest.mark.slow
def test_a_dataset_has_the_splits_of_its_spec_each_with_its_process(made: Path, spec_file: Path) -> None:
    assert verify(made).n_samples == SIZES
    spec = load_spec(spec_file)
    for split, n in SIZES.items():
        dataset = Multimodal3DIdent(made, split)
        assert len(dataset) == n and dataset.spec == pickle.loads(pickle.dumps(dataset)).spec == spec.in_split(split)
        drawn = sample(spec, split, n)
        for name, values in drawn.views["image"].items():
            np.testing.assert_array_equal(dataset.table[f"image.{name}"].to_numpy(), values)
    shifted = Multimodal3DIdent(made, "shifted").table
    assert set(shifted["image.spotlight_pos"].to_pylist()) == {0.5}
    assert set(Multimodal3DIdent(made, "held_out").table["image.object_shape_name"].to_pylist()) == {"cow"}


def test_card_and_info_tell_what_is_another_one_in_which_split(made: Path) -> None:
    for text in (info(made), (made / "README.md").read_text()):
        assert 'given object_shape == "cow" and object_xpos == "right" (' in text
        assert "object_color {mechanism: {name: uniform}}" in text and "ground: checker" in text
        assert "do object_xpos = right" in text
    card = (made / "README.md").read_text()
    assert "path: held_out-*.tar" in card and "held_out 5" in card


@pytest.mark.slow
def test_what_is_damaged_in_a_split_is_found_and_made_again_by_its_process(
    own: Path, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generate.workers, "RenderPool", FakeRenderPool)
    raw = bytearray((own / "shifted-00000.tar").read_bytes())
    raw[700:900] = bytes(200)
    (own / "shifted-00000.tar").write_bytes(raw)
    (own / "held_out.parquet").unlink()
    with pytest.raises(M3diError, match=r"shifted-00000\.tar"):
        verify(own)
    repair(own)
    verify(own)
    for name in ("shifted-00000.tar", "held_out.parquet"):
        assert (own / name).read_bytes() == (made / name).read_bytes()


@pytest.mark.slow
def test_a_twin_holds_an_intervention_over_the_process_of_its_split(
    own: Path, spec_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generate.workers, "RenderPool", FakeRenderPool)
    twin, name = render_twin(own, interventions=("object_shape=horse",), split="held_out")
    assert name == "do(object_shape=horse) held_out"
    assert verify(twin).n_samples == {"train": 1, "val": 4, "test": 0, "held_out": 5, "shifted": 0, "right": 0}
    # The noise that was accepted is kept: all that does not descend from the shape is that of the split.
    before, after = (Multimodal3DIdent(root, "held_out").table for root in (own, twin))
    assert set(after["image.object_shape_name"].to_pylist()) == {"horse"}
    for column in ("image.object_xpos", "image.object_color", "image.spotlight_pos", "text.text_color"):
        assert before[column].equals(after[column])
    assert set(after["image.object_xpos_name"].to_pylist()) == {"right"}
    shifted = do(load_spec(spec_file), object_color=0.25).in_split("shifted")
    assert set(sample(shifted, "train", 9).views["image"]["object_color"].tolist()) == {0.25}
    with pytest.raises(UsageError, match="no split 'held_uot'"):
        render_twin(own, interventions=("object_shape=horse",), split="held_uot")


@pytest.mark.slow
def test_subsets_and_exports_keep_splits(own: Path, tmp_path: Path) -> None:
    few = subset(own, tmp_path / "few", splits=("shifted", "held_out"), n=2)
    assert {name: n for name, n in few.n_samples.items() if n} == {"held_out": 2, "shifted": 2}
    verify(tmp_path / "few")
    chosen = subset(own, tmp_path / "chosen", where="image.spotlight_pos == 0.5")
    assert {name: n for name, n in chosen.n_samples.items() if n} == {"shifted": 6}
    verify(tmp_path / "chosen")
    with pytest.warns(UserWarning, match="mixes or drops held_out, shifted, right"):
        export(own, "imagefolder", tmp_path / "folder")
    assert len(list((tmp_path / "folder" / "held_out").glob("*.png"))) == 5
    export(own, "upstream", tmp_path / "published")
    read = Multimodal3DIdent(tmp_path / "published", "shifted")
    assert len(read) == 6 and set(read.table["image.spotlight_pos"].to_pylist()) == {0.5}
    assert import_published(tmp_path / "published", tmp_path / "back").n_samples == SIZES
    verify(tmp_path / "back")


@pytest.mark.slow
def test_related_datasets_are_joined_with_each_process_in_splits_of_its_own(
    own: Path, tmp_path: Path, spec_file: Path
) -> None:
    other_spec = tmp_path / "strong.yaml"
    other_spec.write_text("extends: m3di\nname: strong\nfactors: {object_color: {mechanism: {strength: 0.5}}}\n")
    other = write_fake_dataset(tmp_path / "strong", spec=str(other_spec), n_train=3, n_val=1, n_test=1, shard_size=4)
    with pytest.raises(M3diError, match="more than their samples: two processes would be in the split 'train'"):
        merge([own, other], tmp_path / "bad")
    joined = merge([own, other], tmp_path / "joined", names=[None, "strong"])
    assert joined.n_samples == {**SIZES, "strong_train": 3, "strong_val": 1, "strong_test": 1}
    verify(tmp_path / "joined")
    ours, theirs = Multimodal3DIdent(tmp_path / "joined", "strong_train"), Multimodal3DIdent(other)
    assert ours.table["image.object_color"].equals(theirs.table["image.object_color"])
    assert ours.spec.factors["object_color"].mechanism.parameters["strength"] == 0.5
    # What was joined can be cut and joined once more; one split alone has the name itself.
    only = subset(other, tmp_path / "only", splits=("test",))
    assert only.n_samples["test"] == 1
    again = merge([tmp_path / "only", own], tmp_path / "again", names=["strong", None])
    assert again.n_samples == {"strong": 1, **SIZES}
    verify(tmp_path / "again")
    with pytest.raises(UsageError, match="splits cannot be called so"):
        merge([own, other], tmp_path / "bad", names=[None, "a-b"])
    with pytest.raises(M3diError, match="a sample is there twice in split 'train'"):
        merge([own, own], tmp_path / "bad")


def test_specs_with_other_columns_are_not_joined(own: Path, tmp_path: Path) -> None:
    other = write_fake_dataset(tmp_path / "other", spec="3dident", n_train=3, n_val=1, n_test=1)
    with pytest.raises(M3diError, match=r"(?s)differ in more than their samples.*object_shape"):
        merge([own, other], tmp_path / "bad", names=[None, "b"])


@pytest.mark.slow
def test_sizes_of_splits_follow_the_number_of_training_samples(spec_file: Path) -> None:
    def sizes(**options: Any) -> dict[str, int]:
        wanted = generate.RenderOptions(out="unused", spec=str(spec_file), **options)
        spec = wanted.load_spec()
        return generate.make_plan(spec, wanted.resolved(spec)).n_samples

    assert sizes() == SIZES
    twice = {"held_out": 10, "shifted": 12, "right": 6}
    assert sizes(n_train=24) == {"train": 24, "val": 2, "test": 2, **twice}
    assert sizes(n_train=24, n_of=("right=0", "shifted=1"))["shifted"] == 1
    with pytest.raises(UsageError, match="the spec has no split 'rihgt'"):
        sizes(n_of=("rihgt=3",))
    for text in ("right", "right=", "right=-1", "=3", "right=1.5"):
        with pytest.raises(UsageError, match="this says no number of samples of a split"):
            sizes(n_of=(text,))
    with pytest.raises(UsageError, match="right is named twice"):
        sizes(n_of=("right=1", "right=2"))


@pytest.mark.parametrize(
    ("options", "got"),
    [
        ({"n_train": 100, "n_of": ("train=50",)}, "--n 100 and --n-of train=50"),
        ({"n_val": 10, "n_of": ("val=5",)}, "--n-val 10 and --n-of val=5"),
        ({"n_test": 0, "n_of": ("test=0",)}, "--n-test 0 and --n-of test=0"),
        ({"n_train": 3, "spec": "one: 8, two: {n: 4}", "n_of": ("one=5",)}, "--n 3 and --n-of one=5"),
    ],
)
def test_a_split_has_one_number(tmp_path: Path, options: dict[str, Any], got: str) -> None:
    splits = options.pop("spec", "held_out: 5")
    wanted = generate.RenderOptions(out="unused", spec=_spec_of(tmp_path, splits), **options)
    message = rf"two options give the number of samples of the split(?s:.)*got: +{got}\n(?s:.)*leave --n\S* or --n-of"
    with pytest.raises(UsageError, match=message):
        wanted.resolved(wanted.load_spec())


def _spec_of(folder: Path, splits: str) -> str:
    none = "" if "held_out" in splits else "train: null, val: null, test: null, "
    (folder / "it.yaml").write_text(f"extends: m3di\nname: it\nsplits: {{{none}{splits}}}\n")
    return str(folder / "it.yaml")


def test_shares_are_of_the_training_samples_that_are_made(tmp_path: Path) -> None:
    path = tmp_path / "it.yaml"
    path.write_text("extends: m3di\nname: it\nsplits: {train: 1000, val: null, test: 7}\n")
    wanted = generate.RenderOptions(out="unused", spec=str(path), n_of=("train=50",))
    spec = wanted.load_spec()
    assert generate.make_plan(spec, wanted.resolved(spec)).n_samples == {"train": 50, "val": 4, "test": 7}


def test_a_spec_without_a_train_split_is_sized_by_its_first(tmp_path: Path) -> None:
    path = tmp_path / "worlds.yaml"
    path.write_text("extends: m3di\nname: w\nsplits: {train: null, val: null, test: null, one: 8, two: {n: 4}}\n")
    out = write_fake_dataset(tmp_path / "w", spec=str(path), n_train=4, n_val=None, n_test=None)
    assert data.read_manifest(out).n_samples == {"one": 4, "two": 2}
    verify(out)
    with pytest.raises(UsageError, match="no split 'train'"):
        Multimodal3DIdent(out)
    assert len(Multimodal3DIdent(out, "two")) == 2


def test_a_forged_split_is_refused(own: Path) -> None:
    whole = json.loads((own / "dataset.json").read_text())
    forged: list[tuple[Any, str]] = [
        ({"n": 5, "factors": {"object_xpos": {"values": ["a"]}}}, "a split cannot change `values`"),
        ({"n": 5, "factors": {"nothing": {"mechanism": {"name": "uniform"}}}}, "no factor is called 'nothing'"),
        ({"n": 5, "views": {"image": {"factors": {"object_xpos": None}}}}, "cannot take the factor"),
        ({"n": 5, "factors": {"object_xpos": {"mechanism": {"name": 5}}}}, "does not fit the spec"),
    ]
    for split, what in forged:
        whole["spec"]["splits"]["held_out"] = split
        (own / "dataset.json").write_text(json.dumps(whole))
        with pytest.raises(M3diError, match=what):
            verify(own)
    whole["spec"]["splits"] = {"train": 1}
    (own / "dataset.json").write_text(json.dumps(whole))
    with pytest.raises(M3diError, match="'held_out', which is no split of its spec"):
        verify(own)


@pytest.mark.slow
def test_runs_of_a_shard_at_a_time_give_the_same_bytes(
    made: Path, spec_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generate.workers, "RenderPool", FakeRenderPool)
    options = fake_options(tmp_path / "parts", spec=str(spec_file), n_train=None, n_val=None, n_test=None, shard_size=4)
    for part in ("1/2", "2/2"):
        generate.render(options, machines=generate.Machines(shards=part, staging=tmp_path / "staging"))
    generate.finalize(data.LocalFolder(tmp_path / "parts"))
    for path in made.iterdir():
        if path.suffix in (".tar", ".parquet", ".json") and path.name != "croissant.json":
            assert (tmp_path / "parts" / path.name).read_bytes() == path.read_bytes()
