from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from m3di import Multimodal3DIdent, data, generate
from m3di.errors import M3diError, UsageError
from m3di.latents import Spec, load_spec
from m3di.render import Outcome, RenderJob
from tests.conftest import FakePool, fake_options, slow, write_fake_dataset


def bytes_of(root: Path) -> dict[str, bytes]:
    """Everything in a folder but the log, which tells of times."""
    return {path.name: path.read_bytes() for path in sorted(root.iterdir()) if path.name != data.LOG}


def test_files_of_a_dataset(fake_dataset: Path) -> None:
    assert sorted(bytes_of(fake_dataset)) == [
        *("README.md", "croissant.json", "dataset.json", "samples.png", "test-00000.tar", "test.parquet"),
        *("train-00000.tar", "train-00001.tar", "train-00002.tar", "train.parquet", "val-00000.tar", "val.parquet"),
    ]


def test_equal_inputs_give_equal_bytes(fake_dataset: Path, tmp_path: Path) -> None:
    assert bytes_of(write_fake_dataset(tmp_path / "again", again=True)) == bytes_of(fake_dataset)


def test_a_sample_does_not_depend_on_sizes(fake_dataset: Path, tmp_path: Path) -> None:
    other = write_fake_dataset(tmp_path / "other", n_train=11, shard_size=3)
    ours = {
        sample.key: (path, sample) for path in sorted(other.glob("train-*.tar")) for sample in data.read_shard(path)
    }
    theirs = {
        sample.key: (path, sample)
        for path in sorted(fake_dataset.glob("train-*.tar"))
        for sample in data.read_shard(path)
    }
    assert len(ours) == 11
    for key, (path, sample) in ours.items():
        for extension, member in sample.members.items():
            other_path, other_sample = theirs[key]
            other_member = other_sample.members[extension]
            one = path.read_bytes()[member.offset : member.offset + member.size]
            assert one == other_path.read_bytes()[other_member.offset : other_member.offset + other_member.size]


def test_an_interrupted_run_is_continued_to_the_same_bytes(fake_dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "interrupted"
    options = fake_options(out)
    spec = load_spec("m3di")
    plan = generate.make_plan(spec, options)
    data.prepare_folder(out, plan)

    class Interrupted(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done == 13:
            raise Interrupted

    with pytest.raises(Interrupted):
        generate.render_shards(spec, plan, generate.shards_of(plan), out, FakePool(32), stop)
    assert data.noted_plan(data.LocalFolder(out), [data.PLAN]) == plan
    pool = FakePool(32)
    seen: list[int] = []
    generate.render_shards(spec, plan, generate.shards_of(plan), out, pool, lambda done, total: seen.append(done))
    generate.finish(data.LocalFolder(out), spec, plan)
    assert pool.n_rendered == 28 - 13
    assert seen == list(range(13, 29))
    assert bytes_of(out) == bytes_of(fake_dataset)


def test_the_table(fake_dataset: Path) -> None:
    table = pd.read_parquet(fake_dataset / "train.parquet")
    assert len(table) == 20
    assert table["shard"].tolist() == [f"train-{index // 8:05d}.tar" for index in range(20)]
    row = table.iloc[9]
    raw = (fake_dataset / row["shard"]).read_bytes()
    assert raw[row["txt_offset"] : row["txt_offset"] + row["txt_size"]].decode() == row["text.caption"]
    latents = json.loads(raw[row["json_offset"] : row["json_offset"] + row["json_size"]])
    for view, columns in latents.items():
        for name, value in columns.items():
            assert row[f"{view}.{name}"] == value


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spec", "extensions", "keys"),
    [
        (
            "m3di-counterfactual",
            ["image.png", "image_do_object_color.png", "text_do_object_xpos.txt"],
            {"image", "image_do_object_color", "text_do_object_xpos", "caption", "caption_text_do_object_xpos"},
        ),
        ("m3di-sequence", ["image_t0.png", "image_t7.png", "txt"], {"image_t0", "image_t7", "text", "z_image_t3"}),
        *slow(("image-pairs", ["view1.png", "view2.png"], {"view1", "view2", "z_view1", "z_view2"})),
    ],
)
def test_specs_with_more_views(spec: str, extensions: list[str], keys: set[str], tmp_path: Path) -> None:
    out = write_fake_dataset(tmp_path / "d", spec=spec, n_train=3, n_val=0, n_test=0)
    (first, *_) = data.read_shard(out / "train-00000.tar")
    assert {*extensions, "json"} <= set(first.members)
    item = Multimodal3DIdent(out)[2]
    assert keys <= set(item)
    assert ("caption" in item) == (spec != "image-pairs")
    data.verify(out)


def test_interventions_make_another_dataset(fake_dataset: Path, tmp_path: Path) -> None:
    options = fake_options(fake_dataset, interventions=("object_xpos=right",))
    with pytest.raises(M3diError, match=r"a different dataset(?s:.)*spec\.factors\.object_xpos\.mechanism"):
        generate.render(options)
    out = write_fake_dataset(tmp_path / "d", interventions=("object_xpos=right",))
    assert {item["z_image"]["object_xpos"] for item in Multimodal3DIdent(out)} == {2}


def test_a_split_without_samples_is_not_there(tmp_path: Path) -> None:
    out = write_fake_dataset(tmp_path / "d", n_train=3, n_val=0, n_test=2)
    tables_and_shards = {path.name for path in out.iterdir() if path.suffix in (".tar", ".parquet")}
    assert tables_and_shards == {"test-00000.tar", "test.parquet", "train-00000.tar", "train.parquet"}
    assert len(Multimodal3DIdent(out, split="test")) == 2
    with pytest.raises(UsageError, match=r"no split 'val'(?s:.)*train, test"):
        Multimodal3DIdent(out, split="val")
    data.verify(out)


def test_defaults() -> None:
    spec = load_spec("m3di")
    resolved = generate.RenderOptions(out=Path("x")).resolved(spec)
    assert (resolved.n_train, resolved.n_val, resolved.n_test) == (125_000, 10_000, 10_000)
    resolved = generate.RenderOptions(out=Path("x"), n_train=48).resolved(spec)
    assert (resolved.n_train, resolved.n_val, resolved.n_test) == (48, 4, 4)
    assert resolved.n_workers and resolved.n_workers >= 1
    assert (
        generate.RenderOptions(out=Path("x"), gpu=True).resolved(spec).n_workers is None
    )  # one a GPU, once they are known


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("n_train", 0, "--n is too small"),
        ("n_train", -3, "--n is too small"),
        ("n_val", -1, "--n-val is too small"),
        ("n_test", -1, "--n-test is too small"),
        ("seed", -1, "--seed is too small"),
        ("size_px", 1, "--size is too small"),
        ("n_workers", 0, "--workers is too small"),
        ("shard_size", 0, "--shard-size is too small"),
    ],
)
def test_numbers_out_of_range(option: str, value: int, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        generate.render(fake_options(tmp_path / "x", **{option: value}))
    assert not (tmp_path / "x").exists()


def test_preview_needs_a_sample() -> None:
    with pytest.raises(UsageError, match="--n is too small"):
        generate.preview(generate.RenderOptions(out=Path("x.png")), 0)


def test_a_different_dataset_is_refused_and_kept(tmp_path: Path) -> None:
    out = write_fake_dataset(tmp_path / "here")
    before = bytes_of(out)
    with pytest.raises(M3diError, match=r"a different dataset(?s:.)*seed: 0 \| 1"):
        generate.render(fake_options(out, seed=1))
    with pytest.raises(M3diError, match=r"a different dataset(?s:.)*n_samples\.train: 20 \| 21"):
        generate.render(fake_options(out, n_train=21))
    assert bytes_of(out) == before


@pytest.mark.parametrize(
    ("options", "difference"),
    [
        ({"size_px": 48}, r"render\.size_px: 32 \| 48"),
        ({"seed": 3}, r"seed: 0 \| 3"),
        ({"quality": "draft"}, r'render\.quality: "standard" \| "draft"'),
        ({"spec": "m3di-independent"}, r'spec\.name: "m3di" \| "m3di-independent"'),
        ({"shard_size": 9}, r"shard_size: 8 \| 9"),
        ({"passes": ("mask",)}, r'extensions\.image\.mask: null \| "mask\.png"'),
        ({"gpu": True}, r'render\.device: "cpu" \| "gpu"'),
    ],
)
def test_an_unfinished_different_dataset_is_refused(
    options: dict[str, object], difference: str, tmp_path: Path
) -> None:
    before = fake_options(tmp_path / "here")
    data.prepare_folder(before.out, generate.make_plan(load_spec("m3di"), before))
    with pytest.raises(M3diError, match=rf"a different dataset(?s:.)*{difference}"):
        generate.render(replace(before, **options))  # type: ignore[arg-type]


@pytest.mark.parametrize("what", ["m3di", "bpy"])
def test_an_unfinished_dataset_of_another_version_is_refused(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = fake_options(tmp_path / "here")
    plan = generate.make_plan(load_spec("m3di"), options)
    old = plan.model_copy(update={"render": {**plan.render, what: "0.0.9"}})
    data.prepare_folder(options.out, old)
    with pytest.raises(M3diError, match=rf'a different dataset(?s:.)*render\.{what}: "0\.0\.9" \| "'):
        generate.render(options)


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(M3diError, match=r"files that are no m3di dataset(?s:.)*thesis\.tex"):
        generate.render(fake_options(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.slow
def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(M3diError, match="the output folder cannot be written"):
            generate.render(fake_options(out))
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.blender  # to be told that it is not there
def test_without_blender(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "bpy" else found(name))
    with pytest.raises(M3diError, match=r"bpy is not installed(?s:.)*Python 3\.11(?s:.)*pip install 'm3di\[render\]'"):
        generate.render(fake_options(tmp_path / "x"))
    assert not (tmp_path / "x").exists()


@pytest.mark.slow
def test_gpu_without_a_gpu(tmp_path: Path) -> None:
    with pytest.raises(M3diError, match=r"finds no GPU(?s:.)*OPTIX, CUDA, HIP, ONEAPI, METAL"):
        generate.render(fake_options(tmp_path / "x", gpu=True))
    assert not (tmp_path / "x").exists()


@pytest.mark.slow
def test_real_renders_again_with_other_workers_and_after_a_loss(rendered_dataset: Path, tmp_path: Path) -> None:
    """Whole runs: the same bytes with one worker, and a lost shard comes back as it was."""
    options = generate.RenderOptions(
        out=tmp_path / "again", n_train=9, n_val=1, n_test=1, size_px=48, quality="draft", shard_size=4, n_workers=1
    )
    generate.render(options)
    assert bytes_of(options.out) == bytes_of(rendered_dataset)
    before = (options.out / "dataset.json").stat().st_mtime_ns
    generate.render(options)  # complete: nothing to do
    assert (options.out / "dataset.json").stat().st_mtime_ns == before
    (options.out / "train-00001.tar").unlink()
    generate.render(options)
    assert bytes_of(options.out) == bytes_of(rendered_dataset)
    data.verify(options.out)


def test_an_unknown_pass(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no pass is called 'masks'(?s:.)*--passes(?s:.)*did you mean 'mask'"):
        generate.render(fake_options(tmp_path / "x", passes=("masks",)))
    assert not (tmp_path / "x").exists()


def test_passes_have_one_order_however_they_were_asked_for(tmp_path: Path) -> None:
    spec = load_spec("m3di")
    plans = [
        generate.make_plan(spec, fake_options(tmp_path / "x", passes=passes))
        for passes in (("mask", "depth"), ("depth", "mask", "depth"))
    ]
    assert plans[0].model_dump_json() == plans[1].model_dump_json()
    assert list(plans[0].extensions) == ["image", "text", "image.mask", "image.depth", "latents"]


def test_annotations_are_in_every_row(fake_dataset: Path) -> None:
    table = pd.read_parquet(fake_dataset / "train.parquet")
    assert (table["image.object_visible_px"] > 0).all()
    assert table["image.object_visible_px"].dtype == np.int64
    assert table["image.object_contrast"].between(0, 1).all()
    assert table["image.object_center_y_px"].nunique() > 10
    assert table["image.object_displayed_hue"].between(0, 1, inclusive="left").all()
    assert table["image.object_displayed_hue"].nunique() > 10
    assert "`VIEW.object_displayed_hue`" in (fake_dataset / "README.md").read_text()


def test_a_shard_without_annotations_is_reported(tmp_path: Path) -> None:
    options = fake_options(tmp_path / "x", n_train=2, n_val=0, n_test=0)
    spec = load_spec("m3di")
    plan = generate.make_plan(spec, options)
    data.prepare_folder(options.out, plan)
    writer = data.ShardWriter(options.out / "train-00000.tar", tuple(plan.extensions.values()))
    for index in range(2):
        writer.add(data.sample_key(index), {"png": b"", "txt": b"", "json": b'{"image": {}}'})
    writer.finish()
    with pytest.raises(M3diError, match=r"a sample lacks an annotation(?s:.)*train-00000\.tar(?s:.)*object_visible_px"):
        generate.finish(data.LocalFolder(options.out), spec, plan)


@pytest.mark.slow
def test_passes_lie_beside_each_image_and_change_nothing_else(rendered_dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "with-passes"
    generate.render(
        generate.RenderOptions(
            out=out,
            n_train=3,
            n_val=0,
            n_test=0,
            size_px=48,
            quality="draft",
            shard_size=4,
            n_workers=1,
            passes=("mask", "depth", "normal"),
        )
    )
    data.verify(out)
    with tarfile.open(out / "train-00000.tar") as ours, tarfile.open(rendered_dataset / "train-00000.tar") as theirs:
        names = [f"000000000.{part}" for part in ("png", "txt", "mask.png", "depth.png", "normal.npz", "json")]
        assert ours.getnames()[:6] == names
        for name in names:
            if name in theirs.getnames():
                one, other = ours.extractfile(name), theirs.extractfile(name)
                assert one and other and one.read() == other.read()
    table = pd.read_parquet(out / "train.parquet")
    mask = (out / "train-00000.tar").read_bytes()[table["mask.png_offset"][1] :][: table["mask.png_size"][1]]
    assert (np.asarray(Image.open(io.BytesIO(mask))) == 255).sum() == table["image.object_visible_px"][1]
    assert "`KEY.depth.png` (image.depth)" in (out / "README.md").read_text()


def test_failures_here_and_there_do_not_stop_a_run(spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only when one image after the other fails, something is wrong with all of them."""
    monkeypatch.setattr("m3di.generate.shards.MAX_FAILURES_IN_A_ROW", 3)
    options = fake_options(tmp_path / "it")
    plan = generate.make_plan(spec, options)
    data.prepare_folder(options.out, plan)

    class Failing(FakePool):
        def __init__(self, good: int) -> None:
            super().__init__(32)
            self.good = good

        def outcomes(self, jobs: Iterable[RenderJob]) -> Iterator[Outcome]:
            for number, outcome in enumerate(super().outcomes(jobs), 1):
                yield outcome if number % self.good == 0 else Outcome(outcome.job, None, "it is bad")

    failures = generate.render_shards(
        spec, plan, generate.shards_of(plan), options.out, Failing(3)
    )  # two, one good, two, ...
    assert len(failures) == 28 - 28 // 3
    with pytest.raises(M3diError, match=r"the last 3 images could not be rendered(?s:.)*it is bad"):
        generate.render_shards(spec, plan, generate.shards_of(plan), options.out, Failing(4))
