from __future__ import annotations

import io
import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from m3di import Multimodal3DIdent, data
from m3di.errors import M3diError, UsageError
from m3di.generate.repair import repair
from m3di.render import Gpu, Outcome, RenderJob
from m3di.render.image import encode_png
from m3di.render.library.user_shapes import UserMesh, store_user_meshes
from tests.conftest import FakePool, FakeRenderPool, slow, write_fake_dataset
from tests.generate.test_run import bytes_of


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
    assert [pool.n_rendered for pool in pools.made] == [1]
    (root / "val.parquet").unlink()
    assert repair(root) == ["val.parquet"]
    assert bytes_of(root) == whole
    assert len(pools.made) == 1


def before_the_hue_was_noted(out: Path, monkeypatch: pytest.MonkeyPatch, **options: object) -> Path:
    """A dataset as it was before manifests said what is noted of each image."""
    with monkeypatch.context() as patch:
        patch.setattr("m3di.generate.plan.ANNOTATIONS", ())
        return write_fake_dataset(out, again=True, **options)  # what is patched must not be kept for others


@pytest.mark.parametrize("gpu", slow(True, False))
def test_datasets_without_the_displayed_hue_stay_without_it(
    tmp_path: Path, pools: type[FakeRenderPool], monkeypatch: pytest.MonkeyPatch, gpu: bool
) -> None:
    root = before_the_hue_was_noted(tmp_path / "old", monkeypatch, gpu=gpu)
    whole = bytes_of(root)
    assert not [name for name, raw in whole.items() if b"displayed_hue" in raw or b"annotations" in raw]
    names = Multimodal3DIdent(root).table.column_names
    assert "image.object_contrast" in names
    assert "image.object_displayed_hue" not in names
    data.verify(root)
    raw = bytearray(whole["train-00001.tar"])
    raw[place(root, "000000010", "png")[0] + 200] ^= 4
    (root / "train-00001.tar").write_bytes(raw)
    (root / "train.parquet").unlink()
    assert repair(root) == ["train-00001.tar", "train.parquet"]
    assert bytes_of(root) == whole
    data.subset(root, tmp_path / "cut", n=3)
    data.verify(tmp_path / "cut")


@pytest.mark.slow
def test_datasets_with_and_without_the_displayed_hue_are_not_joined(
    tmp_path: Path, fake_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = before_the_hue_was_noted(tmp_path / "old", monkeypatch, seed=1)
    other = before_the_hue_was_noted(tmp_path / "other", monkeypatch, seed=2)
    with pytest.raises(M3diError, match=r"differ in more than their samples(?s:.)*annotations: \[.* \| null"):
        data.merge([fake_dataset, old], tmp_path / "both")
    data.merge([old, other], tmp_path / "both")
    data.verify(tmp_path / "both")
    data.subset(fake_dataset, tmp_path / "blue", where="image.object_displayed_hue > 0.5")
    data.verify(tmp_path / "blue")
    assert min(Multimodal3DIdent(tmp_path / "blue").table["image.object_displayed_hue"].to_pylist()) > 0.5


def place(root: Path, key: str, extension: str) -> tuple[int, int]:
    """First byte and number of bytes of a file in the second shard."""
    members = {sample.key: sample.members for sample in data.read_shard(root / "train-00001.tar")}
    return members[key][extension].offset, members[key][extension].size


@pytest.mark.parametrize("table_is_sound", [True, False])
@pytest.mark.parametrize(
    ("damage", "n_rendered", "n_without_table"),
    [
        ("two images", 2, 2),
        ("header of the fourth image", 0, 5),
        ("cut off in the sixth image", 3, 3),
        ("another image in its place", 8, 8),
        *slow(("one caption", 0, 0), ("latents", 0, 1), ("missing", 8, 8)),
    ],
)
def test_good_images_of_a_bad_shard_are_kept(
    tmp_path: Path,
    pools: type[FakeRenderPool],
    damage: str,
    n_rendered: int,
    n_without_table: int,
    table_is_sound: bool,
) -> None:
    root = write_fake_dataset(tmp_path / "it")
    whole = bytes_of(root)
    path, raw = root / "train-00001.tar", bytearray(whole["train-00001.tar"])  # samples 8 to 15
    if damage == "two images":
        for key in ("000000009", "000000012"):
            raw[place(root, key, "png")[0] + 200] ^= 4
    elif damage == "one caption":
        raw[place(root, "000000010", "txt")[0]] ^= 1
    elif damage == "latents":
        raw[place(root, "000000010", "json")[0]] ^= 1
    elif damage == "header of the fourth image":
        raw[place(root, "000000011", "png")[0] - 500] ^= 1
    elif damage == "cut off in the sixth image":
        del raw[place(root, "000000013", "png")[0] + 100 :]
    elif (
        damage == "another image in its place"
    ):  # every checksum inside the shard holds: only that of the shard does not
        offset, size = place(root, "000000014", "png")
        raw[offset : offset + size] = padded(encode_png(np.zeros((32, 32, 3), np.uint8)), size)
    path.write_bytes(raw)
    if damage == "missing":
        path.unlink()
    if not table_is_sound:
        (root / "train.parquet").write_bytes(b"")
    repair(root)
    assert bytes_of(root) == whole
    assert sum(pool.n_rendered for pool in pools.made) == (n_rendered if table_is_sound else n_without_table)


@pytest.fixture
def shaky(pools: type[FakeRenderPool], monkeypatch: pytest.MonkeyPatch) -> type[FakeRenderPool]:
    """Pools as of a GPU: each render of an image has a few values that are off by one."""
    render, runs = pools.outcomes, iter(range(1, 1000))

    def outcomes(pool: FakeRenderPool, jobs: Iterable[RenderJob]) -> Iterator[Outcome]:
        random = np.random.default_rng(next(runs))
        for outcome in render(pool, jobs):
            assert outcome.image is not None
            pixels = np.array(Image.open(io.BytesIO(outcome.image.png)))
            pixels[tuple(random.integers(0, 32, 2))] ^= 1
            yield replace(outcome, image=replace(outcome.image, png=encode_png(pixels)))

    monkeypatch.setattr(pools, "outcomes", outcomes)
    return pools


def images_of(root: Path) -> dict[str, bytes]:
    """The PNG of each sample of the second shard."""
    raw = (root / "train-00001.tar").read_bytes()
    members = {sample.key: sample.members["png"] for sample in data.read_shard(root / "train-00001.tar")}
    return {key: raw[each.offset : each.offset + each.size] for key, each in members.items()}


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["a byte", *slow("another image in its place")])
def test_sound_images_of_a_gpu_stay_though_it_never_gives_the_same_bytes(
    tmp_path: Path, shaky: type[FakeRenderPool], damage: str
) -> None:
    root = write_fake_dataset(tmp_path / "it", gpu=True)
    before, raw = images_of(root), bytearray((root / "train-00001.tar").read_bytes())
    offset, size = place(root, "000000014", "png")
    if damage == "a byte":
        raw[offset + 200] ^= 4
    else:
        raw[offset : offset + size] = padded(encode_png(np.zeros((32, 32, 3), np.uint8)), size)
    (root / "train-00001.tar").write_bytes(raw)
    assert repair(root) == ["train-00001.tar"]
    after = images_of(root)
    assert [key for key in before if after[key] != before[key]] == ["000000014"]
    old, new = (np.array(Image.open(io.BytesIO(each["000000014"]))).astype(int) for each in (before, after))
    assert 0 < np.abs(old - new).max() <= 1
    data.verify(root)
    assert repair(root) == []


@pytest.mark.slow
def test_what_a_changed_file_notes_of_a_gpus_image_is_not_believed(tmp_path: Path, shaky: type[FakeRenderPool]) -> None:
    root = write_fake_dataset(tmp_path / "it", gpu=True)
    raw = bytearray((root / "train-00001.tar").read_bytes())
    offset, size = place(root, "000000010", "json")
    text = bytes(raw[offset : offset + size])
    stated = json.loads(text)["image"]["object_visible_px"]
    changed = text.replace(
        f'"object_visible_px": {stated}'.encode(), f'"object_visible_px": {999 - stated:0>3}'.encode()
    )
    assert changed != text
    assert len(changed) == size
    raw[offset : offset + size] = changed
    (root / "train-00001.tar").write_bytes(raw)
    (root / "train.parquet").write_bytes(b"")
    assert repair(root) == ["train-00001.tar", "train.parquet"]
    raw = bytearray((root / "train-00001.tar").read_bytes())
    offset, size = place(root, "000000010", "json")
    assert json.loads(bytes(raw[offset : offset + size]))["image"]["object_visible_px"] == stated
    data.verify(root)


@pytest.mark.slow
def test_the_gpu_of_a_repair_is_named_where_its_images_are_in_the_dataset(
    tmp_path: Path, shaky: type[FakeRenderPool], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_fake_dataset(tmp_path / "it", gpu=True)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(shaky, "gpus", [Gpu("CUDA", "CUDA_x", "Other card")])
    (root / "README.md").unlink()
    repair(root)
    assert data.read_manifest(root).devices == ()
    raw = bytearray((root / "train-00001.tar").read_bytes())
    raw[place(root, "000000010", "png")[0] + 200] ^= 4
    (root / "train-00001.tar").write_bytes(raw)
    repair(root)
    assert data.read_manifest(root).devices == ("Other card (CUDA)",)
    data.verify(root)


def test_a_repair_that_goes_on_with_another_gpu_names_both(
    tmp_path: Path, shaky: type[FakeRenderPool], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_fake_dataset(tmp_path / "it", gpu=True)
    monkeypatch.setenv("PATH", "")
    raw = bytearray((root / "train-00001.tar").read_bytes())
    for key in ("000000010", "000000012"):
        raw[place(root, key, "png")[0] + 200] ^= 4
    (root / "train-00001.tar").write_bytes(raw)
    outcomes = shaky.outcomes

    def one(pool: FakeRenderPool, jobs: Iterable[RenderJob]) -> Iterator[Outcome]:
        yield next(outcomes(pool, jobs))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shaky, "outcomes", one)
        patch.setattr(shaky, "gpus", [Gpu("CUDA", "CUDA_x", "First card")])
        with pytest.raises(KeyboardInterrupt):
            repair(root)
    monkeypatch.setattr(shaky, "gpus", [Gpu("CUDA", "CUDA_x", "Other card")])
    repair(root)
    assert data.read_manifest(root).devices == ("First card (CUDA)", "Other card (CUDA)")
    data.verify(root)


def test_a_dataset_of_a_gpu_is_repaired_where_there_is_one(
    tmp_path: Path, pools: type[FakeRenderPool], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_fake_dataset(tmp_path / "it", gpu=True)
    raw = bytearray((root / "train-00001.tar").read_bytes())
    raw[place(root, "000000010", "png")[0] + 200] ^= 4
    (root / "train-00001.tar").write_bytes(raw)
    before = bytes_of(root)

    def check(pool: FakeRenderPool) -> None:
        raise M3diError("Cycles finds no GPU on this machine", got="no device for CUDA", next_step="leave --gpu out")

    def too_few(pool: FakeRenderPool) -> None:
        raise UsageError("a GPU needs a worker of its own", where="--workers")

    monkeypatch.setattr(pools, "check", check)
    with pytest.raises(M3diError, match=r"no GPU renders here(?s:.)*no device for CUDA(?s:.)*a machine that has one"):
        repair(root)
    monkeypatch.setattr(pools, "check", too_few)
    with pytest.raises(UsageError, match="a GPU needs a worker of its own"):
        repair(root)
    with pytest.raises(UsageError, match="--workers is too small"):
        repair(root, n_workers=0)
    assert bytes_of(root) == before  # nothing was taken apart


def padded(png: bytes, size: int) -> bytes:
    """The same image in a file of a given size."""
    comment = b"tEXt" + b"a" * (size - len(png) - 12)
    chunk = (len(comment) - 4).to_bytes(4, "big") + comment + zlib.crc32(comment).to_bytes(4, "big")
    return png[:33] + chunk + png[33:]


def test_a_repair_that_was_interrupted(
    tmp_path: Path, pools: type[FakeRenderPool], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_fake_dataset(tmp_path / "it")
    whole = bytes_of(root)
    raw = bytearray(whole["train-00001.tar"])
    for key in ("000000009", "000000012"):
        raw[place(root, key, "png")[0] + 200] ^= 4
    (root / "train-00001.tar").write_bytes(raw)
    with monkeypatch.context() as patch:
        patch.setattr(FakeRenderPool, "outcomes", lambda self, jobs: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            repair(root)
    assert not (root / "train-00001.tar").exists()
    repair(root)
    assert bytes_of(root) == whole
    assert pools.made[-1].n_rendered == 2


def test_what_cannot_be_repaired(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_fake_dataset(tmp_path / "it")
    manifest = data.read_manifest(root)
    (root / "val-00000.tar").unlink()
    with monkeypatch.context() as patch:
        patch.setattr("m3di.generate.plan.version", lambda _: "9.9")
        with pytest.raises(M3diError, match=r"other versions rendered this dataset(?s:.)*bpy 9\.9"):
            repair(root)
    data.write_manifest(root, manifest.model_copy(update={"source": "imported"}))
    with pytest.raises(M3diError, match=r"was imported cannot be rendered again(?s:.)*val-00000\.tar: missing"):
        repair(root)
    (root / "dataset.json").write_text((root / "dataset.json").read_text().replace('"seed": 0', '"seed": 1'))
    with pytest.raises(M3diError, match="the manifest is damaged"):
        repair(root)


def identities(root: Path) -> dict[str, tuple[int, int]]:
    """What tells a file that was written again from one that was left alone."""
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in root.iterdir()}


@pytest.mark.parametrize(
    "bad",
    [
        ["README.md"],
        ["croissant.json", "samples.png"],
        ["val.parquet"],
        ["train-00001.tar"],
        ["train-00000.tar", "train.parquet", "test.parquet", "README.md"],
    ],
)
def test_what_was_sound_is_not_written_again(tmp_path: Path, pools: type[FakeRenderPool], bad: list[str]) -> None:
    root = write_fake_dataset(tmp_path / "it")
    whole, before = bytes_of(root), identities(root)
    for name in bad:
        (root / name).unlink()
    assert repair(root) == sorted(bad)
    assert bytes_of(root) == whole
    after = identities(root)
    assert {name for name in before if after[name] != before[name]} == set(bad)


@pytest.mark.parametrize("damage", [[], ["test.parquet", "croissant.json"], *slow(["val-00000.tar"])])
def test_a_card_that_its_owner_edited_stays(tmp_path: Path, pools: type[FakeRenderPool], damage: list[str]) -> None:
    root = write_fake_dataset(tmp_path / "it")
    whole = bytes_of(root)
    edited = whole["README.md"] + b"\n## Citation\nPlease cite Us et al.\n"
    (root / "README.md").write_bytes(edited)
    for name in damage:
        (root / name).unlink()
    assert repair(root) == sorted(damage)
    assert bytes_of(root) == {**whole, "README.md": edited}
    data.verify(root)


def test_an_edited_card_stays_where_other_pixels_came_out(
    tmp_path: Path, pools: type[FakeRenderPool], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_fake_dataset(tmp_path / "it")
    (root / "README.md").write_bytes(edited := (root / "README.md").read_bytes() + b"\nmine\n")
    (root / "train-00000.tar").unlink()
    black = encode_png(np.zeros((32, 32, 3), np.uint8))
    monkeypatch.setattr("tests.conftest.encode_png", lambda pixels: black)
    assert repair(root) == ["train-00000.tar"]
    assert (root / "README.md").read_bytes() == edited
    notes: list[data.DataProblem] = []
    data.verify(root, on_note=notes.append)
    assert [note.file for note in notes] == ["README.md"]


def test_leftovers_that_are_reported_are_removed(tmp_path: Path, pools: type[FakeRenderPool]) -> None:
    root = write_fake_dataset(tmp_path / "it")
    whole, before = bytes_of(root), identities(root)
    for name in ("foo.partial", "train-00000.tar.images.partial", "val-00007.tar"):
        (root / name).write_bytes(b"x")
    assert repair(root) == ["foo.partial", "train-00000.tar.images.partial", "val-00007.tar"]
    assert bytes_of(root) == whole
    assert identities(root) == before
    assert not pools.made


@pytest.mark.parametrize("source", ["derived", *slow("imported")])
def test_what_can_be_repaired_of_a_dataset_that_was_not_rendered(
    tmp_path: Path, pools: type[FakeRenderPool], source: str
) -> None:
    made, root = write_fake_dataset(tmp_path / "made"), tmp_path / "it"
    if source == "imported":
        data.export(made, "upstream", tmp_path / "up")
        for path in [tmp_path / "up" / "m3di.json", *(tmp_path / "up").glob("*/m3di.parquet")]:
            path.unlink()
        data.import_published(tmp_path / "up", root)
    else:
        data.subset(made, root, n=3)
    whole = bytes_of(root)
    (root / "README.md").unlink()
    (root / "croissant.json").write_bytes(b"{}")
    (root / "x.partial").touch()
    assert repair(root) == ["README.md", "croissant.json", "x.partial"]
    assert bytes_of(root) == whole
    for name in ("train-00000.tar", "train.parquet"):
        raw = (root / name).read_bytes()
        (root / name).unlink()
        with pytest.raises(M3diError, match=rf"that was {source} cannot be rendered again(?s:.)*{name}: missing"):
            repair(root)
        (root / name).write_bytes(raw)


def mesh(height: float) -> UserMesh:
    """A tetrahedron."""
    corners = np.array([[0, 1, 2], [0, 3, 1], [1, 3, 2], [2, 3, 0]], np.int32)
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, height]], np.float32)
    return UserMesh(vertices, corners.ravel(), np.full(4, 3, np.int32), None, "x.obj")


POT = """
extends: m3di
name: pots
factors:
  object_shape: {values: [pot, cow]}
"""


@pytest.mark.slow
def test_only_the_meshes_of_the_manifest_are_rendered(
    tmp_path: Path, pools: type[FakeRenderPool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("M3DI_DATA_HOME", str(tmp_path / "home"))
    (tmp_path / "pots.yaml").write_text(POT)
    store_user_meshes({"pot": mesh(1)})
    root = write_fake_dataset(tmp_path / "it", spec=str(tmp_path / "pots.yaml"))
    whole = bytes_of(root)
    assert list(data.read_manifest(root).shapes) == ["pot"]
    (root / "val-00000.tar").unlink()
    store_user_meshes({"pot": mesh(2)})
    with pytest.raises(M3diError, match=r"the mesh 'pot' of this machine is not the one(?s:.)*import FILE --name pot"):
        repair(root)
    assert not (root / "val-00000.tar").exists()
    (root / "val-00000.tar").write_bytes(whole["val-00000.tar"])
    (root / "README.md").unlink()
    assert repair(root) == ["README.md"]  # no image is rendered: no mesh is needed
    (tmp_path / "home" / "shapes" / "pot.npz").rename(tmp_path / "pot.npz")
    (root / "val-00000.tar").unlink()
    with pytest.raises(M3diError, match=r"no shape is called 'pot'(?s:.)*m3di shapes import FILE --name pot"):
        repair(root)
    (root / "val-00000.tar").write_bytes(whole["val-00000.tar"])
    store_user_meshes({"pot": mesh(1), "cow": mesh(3)})  # that cow is not the one of the images
    (root / "val-00000.tar").unlink()
    assert repair(root) == ["val-00000.tar"]
    assert bytes_of(root) == whole
    assert [[shape.name for shape in pool.settings.user_shapes] for pool in pools.made] == [["pot"]]


@pytest.mark.parametrize("name", ["../victim.txt", "/victim.txt", "a/b", "..", "", "a\\b"])
def test_a_manifest_that_names_files_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    root = write_fake_dataset(tmp_path / "it")
    (tmp_path / "victim.txt").write_text("precious")
    manifest = json.loads((root / "dataset.json").read_text())
    manifest["splits"]["val"]["shards"][0]["file"] = name
    (root / "dataset.json").write_text(json.dumps(manifest))
    for act in (repair, data.verify):
        with pytest.raises(M3diError, match=r"no valid m3di manifest(?s:.)*is no plain file name"):
            act(root)
    assert (tmp_path / "victim.txt").read_text() == "precious"


@pytest.mark.slow
def test_a_damaged_pass_beside_a_sound_image_is_rendered_again(
    tmp_path: Path, pools: type[FakeRenderPool], monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes = FakePool.outcomes

    def with_mask(pool: FakePool, jobs: Iterable[RenderJob]) -> Iterator[Outcome]:
        for outcome in outcomes(pool, jobs):
            assert outcome.image is not None
            mask = encode_png(np.array(Image.open(io.BytesIO(outcome.image.png)))[..., 0])
            yield replace(outcome, image=replace(outcome.image, passes={"mask": mask}))

    monkeypatch.setattr(FakePool, "outcomes", with_mask)
    root = write_fake_dataset(tmp_path / "it", passes=("mask",))
    whole = bytes_of(root)
    path, raw = root / "train-00001.tar", bytearray(whole["train-00001.tar"])
    raw[place(root, "000000012", "mask.png")[0] + 200] ^= 4
    path.write_bytes(raw)
    repair(root)
    assert bytes_of(root) == whole
    assert sum(pool.n_rendered for pool in pools.made) == 1
