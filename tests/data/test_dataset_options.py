"""The options of `Multimodal3DIdent`, its batches, and what it costs."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch
from torch.utils.data import DataLoader

from m3di import Multimodal3DIdent
from m3di.data import Batches, BatchLoader, build_tokenizer, export
from m3di.data.format.images import ImageError, decode, encode
from m3di.errors import M3diError, UsageError


def damaged(fake_dataset: Path, tmp_path: Path) -> Path:
    """A copy in which the pixels of samples 0 and 3 are damaged."""
    root = Path(shutil.copytree(fake_dataset, tmp_path / "damaged"))
    dataset = Multimodal3DIdent(root)
    raw = bytearray((root / "train-00000.tar").read_bytes())
    for row in (0, 3):
        raw[dataset._files._ranges["image"][0][row] + 100] ^= 1  # type: ignore[attr-defined]
    (root / "train-00000.tar").write_bytes(raw)
    return root


def test_a_batch_is_its_items(fake_dataset: Path) -> None:
    dataset = Multimodal3DIdent(fake_dataset)
    batch, items = dataset[[5, 2, 11]], [dataset[5], dataset[2], dataset[11]]
    assert batch["image"].shape == (3, 3, 32, 32)
    assert batch["image"].is_contiguous(memory_format=torch.channels_last)
    for each in (batch, torch.utils.data.default_collate(dataset.__getitems__([5, 2, 11]))):
        assert torch.equal(each["image"], torch.stack([item["image"] for item in items]))
        assert torch.equal(each["text"], torch.stack([item["text"] for item in items]))
        assert each["caption"] == [item["caption"] for item in items]
        assert each["z_image"]["object_color"].tolist() == [item["z_image"]["object_color"] for item in items]
    assert dataset[-2:]["caption"] == [dataset[18]["caption"], dataset[19]["caption"]]
    changed = Multimodal3DIdent(fake_dataset, transform=lambda x: x.float().mean(), target_transform=lambda z: len(z))
    assert changed[[0, 1]]["image"].shape == (2,)
    assert changed[[0, 1]]["z_text"].tolist() == [changed[0]["z_text"]] * 2


def test_views_and_factors(fake_dataset: Path) -> None:
    dataset = Multimodal3DIdent(fake_dataset, views=["text"], factors=["object_shape", "text_color"])
    assert set(dataset[0]) == {"text", "caption", "z_text"}
    assert set(dataset[0]["z_text"]) == {"object_shape", "text_color"}
    seeds = Multimodal3DIdent(fake_dataset, views=["image"], factors=["render_seed"])
    assert list(seeds[0]["z_image"]) == ["render_seed"]
    with pytest.raises(UsageError, match="there is no text view to tokenize"):
        seeds.tokenizer  # noqa: B018


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"views": ["imag"]}, r"no view 'imag'(?s:.)*did you mean 'image'"),
        ({"factors": ["object_color", "hue"]}, "no factor 'hue'"),
        ({"cache": "tape"}, "unknown value of `cache`"),
        ({"on_error": "ignore"}, "unknown value of `on_error`"),
        ({"filter": "image.object_shap == 1"}, r"no column 'image\.object_shap'(?s:.)*did you mean"),
        ({"filter": "image.object_shape + 1"}, "this is no condition"),
        ({"filter": "image.object_shape =="}, "this is no condition"),
        ({"filter": "image.object_shape in key"}, "this is no condition"),
        ({"filter": "image.object_shape is 1"}, "this is no condition"),
        ({"filter": "image.object_shape == f(1)"}, "this is no condition"),
        ({"filter": "image.object_shape == None"}, "this is no condition"),
        ({"filter": lambda table: [True]}, "`filter` did not give a mask"),
    ],
)
def test_wrong_options(fake_dataset: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Multimodal3DIdent(fake_dataset, **options)


def test_filter(fake_dataset: Path) -> None:
    everything = Multimodal3DIdent(fake_dataset)
    shapes = [item["z_image"]["object_shape"] for item in everything]
    wanted = [index for index, shape in enumerate(shapes) if shape in (1, 2)]
    ways: list[Any] = [
        "image.object_shape in [1, 2]",
        "1 <= image.object_shape < 3 and not image.object_shape not in (1, 2)",
        pc.field("image.object_shape").isin([1, 2]),
        lambda table: np.isin(table["image.object_shape"].to_numpy(), [1, 2]),
    ]
    for way in ways:
        some = Multimodal3DIdent(fake_dataset, filter=way)
        assert [item["caption"] for item in some] == [everything[index]["caption"] for index in wanted]
        again = pickle.loads(pickle.dumps(some))
        assert again[-1]["caption"] == some[-1]["caption"]
        with pytest.raises(IndexError, match=f"sample {len(some)} of {len(some)}"):
            some[len(some)]


def test_tokens(fake_dataset: Path) -> None:
    ids, hot = Multimodal3DIdent(fake_dataset), Multimodal3DIdent(fake_dataset, one_hot=True)
    assert hot[3]["text"].shape == (ids.tokenizer.length, ids.vocabulary_size)
    assert torch.equal(hot[3]["text"].argmax(dim=1), ids[3]["text"])
    assert hot[[3, 4]]["text"].dtype == torch.float32
    units = build_tokenizer(ids.spec, "text", quoted="unit")
    assert "xkcd:robin's egg" in units.vocabulary
    assert "egg" not in units.vocabulary
    other = Multimodal3DIdent(fake_dataset, tokenizer=units)
    for index in range(20):
        text = other[index]["text"].tolist()
        assert 1 not in text
        color = ids.spec.factors["text_color"].names[other[index]["z_text"]["text_color"]]
        assert units.vocabulary.index(color) in text


@pytest.mark.parametrize("kind", ["ram", "disk"])
def test_cache(fake_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any) -> None:
    monkeypatch.setenv("M3DI_CACHE", str(tmp_path / "cache"))
    root = Path(shutil.copytree(fake_dataset, tmp_path / "copy"))
    plain, cached = Multimodal3DIdent(root), Multimodal3DIdent(root, cache=kind)
    first = cached[list(range(20))]["image"]
    assert torch.equal(first, plain[:]["image"])
    again = pickle.loads(pickle.dumps(cached))
    (root / "train-00001.tar").write_bytes(b"")
    for each in [cached, again, *([Multimodal3DIdent(root, cache=kind)] if kind == "disk" else [])]:
        assert torch.equal(each[:]["image"], first)
        assert torch.equal(each[9]["image"], first[9])
    assert len(pickle.dumps(cached)) < 50_000


def test_no_room_for_the_cache(fake_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setenv("M3DI_CACHE", str(tmp_path))
    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(M3diError, match=r"no room for the cache(?s:.)*No space left(?s:.)*M3DI_CACHE"):
        Multimodal3DIdent(fake_dataset, cache="disk")


def test_damage_names_split_shard_key_and_offset(fake_dataset: Path, tmp_path: Path) -> None:
    dataset = Multimodal3DIdent(damaged(fake_dataset, tmp_path))
    with pytest.raises(
        M3diError, match=r"sample 3 of split 'train'(?s:.)*train-00000\.tar, byte \d+ \(key 000000003, view image\)"
    ):
        dataset[3]
    with pytest.raises(M3diError, match="checksum of a PNG chunk is wrong"):
        dataset[[1, 3]]


def test_skipping_counts_and_warns(fake_dataset: Path, tmp_path: Path) -> None:
    root = damaged(fake_dataset, tmp_path)
    dataset = Multimodal3DIdent(root, on_error="skip")
    with pytest.warns(UserWarning, match=r"skipped: sample 3(?s:.)*key 000000003"):
        assert dataset[[2, 3, 4]]["caption"] == [dataset[2]["caption"], dataset[4]["caption"]]
    assert dataset.n_skipped == 1
    assert dataset[[2, 4, 4]]["caption"] == [dataset[index]["caption"] for index in (2, 4, 4)]  # drawn twice
    with pytest.warns(UserWarning, match="skipped: sample 0"):
        assert dataset[0]["caption"] == dataset[1]["caption"]
    with pytest.warns(UserWarning, match="skipped"):
        assert [item["caption"] for item in dataset.__getitems__([0, 3])] == [dataset[1]["caption"]]
    only = Multimodal3DIdent(root, on_error="skip", filter='key in ["000000000", "000000003"]')
    with pytest.warns(UserWarning, match="skipped"), pytest.raises(M3diError, match="no image of the split"):
        only[0]


def test_named_tuples_cross_processes(fake_dataset: Path) -> None:
    dataset = Multimodal3DIdent(fake_dataset, as_named_tuple=True)
    item = pickle.loads(pickle.dumps(dataset[0]))
    assert item._fields == ("image", "text", "caption", "z_image", "z_text")
    assert torch.equal(item.image, dataset[0].image)
    batch = next(iter(DataLoader(dataset, batch_size=4)))
    assert batch.image.shape == (4, 3, 32, 32)
    assert dataset[[0, 1]].text.shape[0] == 2


def test_url(fake_dataset: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    files = fsspec.filesystem("memory")
    for path in fake_dataset.iterdir():
        files.pipe_file(f"/somewhere/m3di/{path.name}", path.read_bytes())
    remote, local = Multimodal3DIdent("memory://somewhere/m3di"), Multimodal3DIdent(fake_dataset)
    assert torch.equal(remote[:]["image"], local[:]["image"])
    assert pickle.loads(pickle.dumps(remote))[4]["caption"] == local[4]["caption"]
    with pytest.raises(UsageError, match="fsspec cannot open this URL"):
        Multimodal3DIdent("nosuchscheme://x/y")
    with pytest.raises(M3diError, match="there is no m3di dataset here"):
        Multimodal3DIdent("memory://nowhere")


def test_url_without_fsspec(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(M3diError, match="needs fsspec"):
        Multimodal3DIdent("memory://x")


@pytest.mark.parametrize("extension", ["png", "webp", "qoi"])
def test_image_formats(extension: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (17, 23, 3), dtype=np.uint8)
    raw = encode(pixels, extension)
    np.testing.assert_array_equal(decode(raw, extension), pixels)
    with pytest.raises(ImageError, match="'eps' is no image format: expected png"):
        decode(raw, "eps")
    with pytest.raises(ImageError, match="23 x 17 pixels, expected 17 x 17"):
        decode(raw, extension, 17)
    with pytest.raises(ImageError):
        decode(raw[: len(raw) // 2], extension)
    with pytest.raises(ImageError):
        decode(b"", extension)


def png_of(width: int, height: int, kind: bytes = b"\x08\x02", *, twice: bool = False) -> bytes:
    """A PNG that says it has this size, and holds a line or so."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4, "big") + name + body + zlib.crc32(name + body).to_bytes(4, "big")

    head = chunk(b"IHDR", width.to_bytes(4, "big") + height.to_bytes(4, "big") + kind + b"\0\0\0")
    small = chunk(b"IHDR", (32).to_bytes(4, "big") * 2 + kind + b"\0\0\0") if twice else b""
    body = chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + small + head + body


GREY = b"\x08\x00"


@pytest.mark.parametrize(
    ("raw", "extension", "message"),
    [
        (png_of(30_000, 30_000), "png", "30000 x 30000 pixels, expected at most 8192 x 8192"),
        (png_of(8193, 1, GREY), "png", "8193 x 1 pixels, expected at most"),
        (png_of(30_000, 30_000, GREY), "png", "30000 x 30000|could be decompression bomb"),
        (png_of(0, 0), "png", "0 x 0 pixels"),
        (b"qoif" + (60_000).to_bytes(4, "big") * 2 + b"\3\0" + b"\0" * 107 + b"\1", "qoi", "60000 x 60000 pixels"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "eps", "'eps' is no image format"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\0IEND\xae\x42\x60\x82", "png", "the first PNG chunk is no IHDR|cannot identify"),
    ],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_gigantic_image_is_not_decoded(raw: bytes, extension: str, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        decode(raw, extension)


@pytest.mark.parametrize("kind", [b"\x08\x02", GREY])
def test_an_image_that_is_as_large_as_it_should_be_in_its_first_head_only(kind: bytes) -> None:
    with pytest.raises(ImageError):
        decode(png_of(6000, 6000, kind, twice=True), "png", 32)


def test_a_bomb_among_images_is_skipped(fake_dataset: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(fake_dataset, tmp_path / "copy"))
    offsets, sizes = Multimodal3DIdent(root)._files._ranges["image"]  # type: ignore[attr-defined]
    raw = bytearray((root / "train-00000.tar").read_bytes())
    bomb = png_of(8000, 8000)
    filler = int(sizes[2]) - len(bomb) - 12
    body = b"tEXt" + b"a" * filler
    chunk = filler.to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
    raw[offsets[2] : offsets[2] + sizes[2]] = bomb[:33] + chunk + bomb[33:]
    (root / "train-00000.tar").write_bytes(raw)
    with pytest.raises(M3diError, match=r"sample 2 of split(?s:.)*8000 x 8000 pixels, expected 32 x 32"):
        Multimodal3DIdent(root)[2]
    dataset = Multimodal3DIdent(root, on_error="skip")
    with pytest.warns(UserWarning, match="8000 x 8000"):
        assert len(dataset[[1, 2, 3]]["caption"]) == 2
    assert dataset.n_skipped == 1


def test_every_flipped_bit_of_a_png_is_seen() -> None:
    raw = encode(np.random.default_rng(0).integers(0, 99, (9, 9, 3), dtype=np.uint8), "png")
    for place in range(len(raw)):
        flipped = bytearray(raw)
        flipped[place] ^= 1 << place % 8
        with pytest.raises(ImageError):
            decode(bytes(flipped), "png")


@pytest.mark.slow
@pytest.mark.filterwarnings("default::UserWarning")  # forked workers inherit "error"
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_share_the_cache_and_the_count(fake_dataset: Path, tmp_path: Path, method: str) -> None:
    dataset = Multimodal3DIdent(
        damaged(fake_dataset, tmp_path), on_error="skip", cache="ram", filter='key > "000000000"'
    )
    loader = _loader(dataset, method)
    for epoch in range(2):
        captions = [text for batch in loader for text in batch["caption"]]
        assert len(set(captions)) == 18
        assert dataset.n_skipped > epoch
    assert dataset._caches["image"].is_filled[[0, 3]].sum() == 0
    assert dataset._caches["image"].is_filled.sum() == 18


def _loader(dataset: Multimodal3DIdent, method: str) -> DataLoader[Any]:
    return DataLoader(
        dataset,
        sampler=Batches(dataset, 6, seed=1),
        batch_size=None,
        num_workers=2,
        persistent_workers=True,
        multiprocessing_context=multiprocessing.get_context(method),
    )


def rss_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(("threads", "cache"), [(None, None), (2, None), (2, "ram")])
def test_no_growth_over_100_epochs(fake_dataset: Path, threads: int | None, cache: Any) -> None:
    dataset = Multimodal3DIdent(fake_dataset, cache=cache)
    sampler = Batches(dataset, 8)
    loader: Any = DataLoader(dataset, sampler=sampler, batch_size=None)
    if threads:
        loader = BatchLoader(dataset, sampler, n_threads=threads)
    sizes = []
    for _ in range(100):
        for batch in loader:
            assert batch["image"].ndim == 4
        sizes.append(rss_mb())
    assert sampler.epoch == 100
    assert sizes[-1] - sizes[19] < 5


LARGE = """
import sys
import torch, numpy, pyarrow.dataset
from m3di import Multimodal3DIdent
import m3di.data.load.dataset
rss = lambda: int(open("/proc/self/statm").read().split()[1]) * 4096 / 1e6
before = rss()
dataset = Multimodal3DIdent(sys.argv[1])
print(len(dataset), rss() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_construction_of_125_000_samples(fake_dataset: Path, tmp_path: Path) -> None:
    """On rows repeated to that length, in one shard that is empty from its second half on; in a process of its own."""
    root, n = Path(shutil.copytree(fake_dataset, tmp_path / "large")), 125_000
    row = pq.read_table(root / "train.parquet").slice(0, 1)
    table = pa.concat_tables([row] * n).combine_chunks().set_column(0, "key", pa.array([f"{k:09}" for k in range(n)]))
    pq.write_table(table, root / "train.parquet", compression="zstd")
    manifest = json.loads((root / "dataset.json").read_text())
    split = manifest["splits"]["train"]
    shard = {**split["shards"][0], "n_samples": n, "n_bytes": n * 3 * 2 * 512 + 10240}
    os.truncate(root / shard["file"], shard["n_bytes"])
    entry = {**split["table"], "n_samples": n, "n_bytes": (root / "train.parquet").stat().st_size}
    manifest["splits"]["train"] = {"n_samples": n, "shards": [shard], "table": entry}
    manifest["n_samples"]["train"] = manifest["shard_size"] = n
    (root / "dataset.json").write_text(json.dumps(manifest))
    done = subprocess.run([sys.executable, "-c", LARGE, str(root)], capture_output=True, text=True, check=True)
    n_there, megabytes = map(float, done.stdout.split())
    assert n_there == n
    assert megabytes < 200


def test_cache_refuses_images_of_several_sizes(fake_dataset: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(fake_dataset, tmp_path / "copy"))
    dataset = Multimodal3DIdent(root)
    raw = bytearray((root / "train-00000.tar").read_bytes())
    offsets, sizes = dataset._files._ranges["image"]  # type: ignore[attr-defined]
    small = encode(np.zeros((8, 8, 3), np.uint8), "png")
    n_filler = int(sizes[2]) - len(small) - 12
    body = b"tEXt" + b"a" * n_filler
    chunk = n_filler.to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
    raw[offsets[2] : offsets[2] + sizes[2]] = small[:33] + chunk + small[33:]
    (root / "train-00000.tar").write_bytes(raw)
    for cache in (None, "ram"):
        with pytest.raises(M3diError, match=r"sample 2 of split(?s:.)*8 x 8 pixels, expected 32 x 32"):
            Multimodal3DIdent(root, cache=cache)[[1, 2]]  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore:.*train does not have:UserWarning")
def test_images_of_several_sizes_in_the_published_layout(fake_dataset: Path, tmp_path: Path) -> None:
    root = tmp_path / "published"
    export(fake_dataset, "upstream", root)
    for path in [root / "m3di.json", *root.glob("*/m3di.parquet")]:
        path.unlink()
    (root / "train/images/02.png").write_bytes(encode(np.zeros((8, 8, 3), np.uint8), "png"))
    with pytest.raises(M3diError, match=r"sample 2 of split(?s:.)*\(8, 8\) pixels(?s:.)*as the others"):
        Multimodal3DIdent(root)[[1, 2]]
    with pytest.raises(M3diError, match=r"sample 2 of split(?s:.)*as the first image"):
        Multimodal3DIdent(root, cache="ram")[2]
