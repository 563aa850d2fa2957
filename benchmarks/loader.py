"""Images a second into normalised float batches: ours and every peer, on the same pictures, in one run.

Pictures: `--pictures FOLDER` (PNG files, repeated to `--n` with two pixels changed so that no two files are equal), or
noise-free synthetic scenes. Every side reads its own copy once before it is timed (page cache warm) and yields float32
[64, 3, side, side], normalised with mean and standard deviation 0.5. Sides that are not installed are named, left out.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch.utils.data import DataLoader, Dataset

from m3di.data import Batches, Manifest, Multimodal3DIdent, Normaliser, Plan, TextEntry, build_tokenizer, sample_key
from m3di.data.assemble import assemble, sample_json
from m3di.data.images import encode
from m3di.data.table import latent_columns
from m3di.latents import captions, load_spec, plain_spec, sample

BATCH = 64
Batch = torch.Tensor
Side = Callable[[Path, bool, int], Iterator[Batch]]


def scenes(n: int, side: int, folder: Path | None) -> Iterator[np.ndarray[Any, Any]]:
    """The pictures, uint8 [side, side, 3]."""
    found = [np.asarray(Image.open(path).convert("RGB")) for path in sorted(folder.glob("*.png"))] if folder else []
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:side, 0:side] / side
    for index in range(n):
        if found:
            picture = found[index % len(found)].copy()
        else:
            a, b, c = rng.random((3, 3))
            shade = 0.6 + 0.4 * np.cos(3 * (x - a[0]) ** 2 + 2 * (y - a[1]) ** 2)[..., None] * b
            ball = ((x - c[0]) ** 2 + (y - c[1]) ** 2 < 0.04)[..., None]
            picture = np.clip(255 * np.where(ball, shade * a, shade), 0, 255).astype(np.uint8)
        picture[0, :2] = np.frombuffer(index.to_bytes(6, "little"), np.uint8).reshape(2, 3)
        yield picture


def write_ours(root: Path, pictures: list[np.ndarray[Any, Any]], extension: str) -> Manifest:
    """A dataset of ours with these pictures."""
    import pyarrow as pa

    n, spec = len(pictures), load_spec("m3di")
    drawn = sample(spec, "train", n)
    texts = captions(drawn, "text")
    columns = {name: values.tolist() for name, values in latent_columns(drawn).items()}
    tokens = build_tokenizer(spec, "text")
    plan = Plan(
        spec=plain_spec(spec),
        seed=0,
        n_samples={"train": n, "val": 0, "test": 0},
        shard_size=1000,
        extensions={"image": extension, "text": "txt", "latents": "json"},
        render={"size_px": pictures[0].shape[0], "quality": "standard", "m3di": "benchmark", "bpy": "none"},
        text={"text": TextEntry(vocabulary=tokens.vocabulary, length=tokens.length)},
    )
    table = pa.table({"text.caption": texts, **columns})
    contents = (
        {
            extension: encode(picture, extension),
            "txt": texts[row].encode(),
            "json": sample_json({name: values[row] for name, values in columns.items()}),
        }
        for row, picture in enumerate(pictures)
    )
    return assemble(
        root, plan, {split: table.slice(0, plan.n_samples[split]) for split in plan.n_samples}, {"train": contents}
    )


def ours(extension: str, cache: Any = None) -> Side:
    """Our batch path: one buffer for pixels, one for floats."""

    def read(root: Path, shuffle: bool, n_workers: int) -> Iterator[Batch]:
        dataset = Multimodal3DIdent(root / f"ours-{extension}", cache=cache)
        if cache:
            for start in range(0, len(dataset), BATCH):
                dataset[start : start + BATCH]
        sampler = Batches(dataset, BATCH, shuffle=shuffle)
        loader = DataLoader(dataset, sampler=sampler, batch_size=None, num_workers=n_workers)
        normalise = Normaliser()
        for batch in loader:
            yield normalise(batch["image"])

    return read


def to_float(image: Image.Image) -> torch.Tensor:
    """What a usual transform does: ToTensor and Normalize."""
    pixels = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1).contiguous()
    return pixels.float().div_(255).sub_(0.5).div_(0.5)


class Loose(Dataset[torch.Tensor]):
    """A folder of PNG files, read the published way."""

    def __init__(self, folder: Path) -> None:
        self.paths = sorted(folder.glob("*.png"))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        with self.paths[index].open("rb") as stream:
            return to_float(Image.open(stream))


def loose(root: Path, shuffle: bool, n_workers: int) -> Iterator[Batch]:
    yield from DataLoader(Loose(root / "loose"), batch_size=BATCH, shuffle=shuffle, num_workers=n_workers)


def web(root: Path, shuffle: bool, n_workers: int) -> Iterator[Batch]:
    import webdataset

    shards = [str(path) for path in sorted((root / "ours-png").glob("train-*.tar"))]
    data = webdataset.WebDataset(shards, shardshuffle=100 if shuffle else False)
    data = data.shuffle(1000) if shuffle else data
    data = data.decode("pil").to_tuple("png").map(lambda item: to_float(item[0]))
    yield from DataLoader(data, batch_size=BATCH, num_workers=n_workers)


def hugging_face(root: Path, shuffle: bool, n_workers: int) -> Iterator[Batch]:
    import datasets

    datasets.disable_progress_bars()
    files = {"train": [str(path) for path in sorted((root / "ours-png").glob("train-*.tar"))]}
    data = datasets.load_dataset("webdataset", data_files=files, cache_dir=str(root / "hf"))["train"].select_columns(
        ["png"]
    )
    data.set_transform(lambda rows: {"png": [to_float(image) for image in rows["png"]]})
    for batch in DataLoader(data, batch_size=BATCH, shuffle=shuffle, num_workers=n_workers):
        yield batch["png"]


def lit(root: Path, shuffle: bool, n_workers: int) -> Iterator[Batch]:
    import litdata

    class Decoded(litdata.StreamingDataset):
        def __getitem__(self, index: Any) -> torch.Tensor:
            return to_float(Image.open(io.BytesIO(super().__getitem__(index)["png"])))

    data = Decoded(str(root / "lit"), shuffle=shuffle)
    yield from litdata.StreamingDataLoader(data, batch_size=BATCH, num_workers=n_workers, shuffle=shuffle)


def mosaic(root: Path, shuffle: bool, n_workers: int) -> Iterator[Batch]:
    import streaming

    class Decoded(streaming.StreamingDataset):
        def __getitem__(self, index: int) -> torch.Tensor:
            return to_float(Image.open(io.BytesIO(super().__getitem__(index)["png"])))

    data = Decoded(local=str(root / "mosaic"), shuffle=shuffle, batch_size=BATCH)
    yield from DataLoader(data, batch_size=BATCH, num_workers=n_workers)


def memmap(root: Path, shuffle: bool, n_workers: int) -> Iterator[Batch]:
    """The limit: raw pixels from one file, a batch at a time, into fresh float batches."""
    pixels = np.load(root / "pixels.npy", mmap_mode="r")
    order = np.random.default_rng(0).permutation(len(pixels)) if shuffle else np.arange(len(pixels))
    for start in range(0, len(order), BATCH):
        chosen = torch.from_numpy(pixels[order[start : start + BATCH]])
        yield chosen.permute(0, 3, 1, 2).float().div_(255).sub_(0.5).div_(0.5)


SIDES: dict[str, Side] = {
    "ours, png": ours("png"),
    "ours, webp lossless": ours("webp"),
    "ours, qoi": ours("qoi"),
    "ours, png, cache=ram": ours("png", "ram"),
    "ours, png, cache=disk": ours("png", "disk"),
    "webdataset": web,
    "litdata": lit,
    "mosaicml-streaming": mosaic,
    "Hugging Face datasets": hugging_face,
    "loose PNG files": loose,
    "uint8 memmap (limit)": memmap,
}
PEERS = ("webdataset", "litdata", "mosaicml-streaming", "Hugging Face datasets", "loose PNG files")


def prepare(root: Path, pictures: list[np.ndarray[Any, Any]], names: list[str]) -> dict[str, str]:
    """Write every side's copy. Returns why a side is left out, by name."""
    left_out = {}
    for extension in ("png", *(each for each in ("webp", "qoi") if any(each in name for name in names))):
        write_ours(root / f"ours-{extension}", pictures, extension)
    files = [encode(picture, "png") for picture in pictures]
    (root / "loose").mkdir()
    for index, raw in enumerate(files):
        (root / "loose" / f"{sample_key(index)}.png").write_bytes(raw)
    np.save(root / "pixels.npy", np.stack(pictures))
    try:
        from litdata.streaming.writer import BinaryWriter

        writer = BinaryWriter(str(root / "lit"), chunk_bytes="64MB")
        for index, raw in enumerate(files):
            writer[index] = {"png": raw}
        writer.done()
        writer.merge()
    except Exception as error:  # whatever keeps a peer from running is reported, and the others go on
        left_out["litdata"] = f"{type(error).__name__}: {error}"
    try:
        from streaming import MDSWriter

        with MDSWriter(out=str(root / "mosaic"), columns={"png": "bytes"}) as out:
            for raw in files:
                out.write({"png": raw})
    except Exception as error:
        left_out["mosaicml-streaming"] = f"{type(error).__name__}: {error}"
    return left_out


def rate(side: Side, root: Path, shuffle: bool, n_workers: int, n: int, repeats: int) -> float:
    """Images a second: the median of some passes after one that is not timed."""
    rates = []
    for number in range(repeats + 1):
        batches = side(root, shuffle, n_workers)
        first = next(batches)  # what starts workers and opens files is not timed
        assert first.dtype == torch.float32
        start, seen = time.perf_counter(), 0
        last = start
        for batch in batches:
            seen += len(batch)
            last = time.perf_counter()  # what stops workers is not timed either
        if number:
            rates.append(seen / (last - start))
        assert seen + len(first) >= n - BATCH, f"{seen} of {n}"
    return statistics.median(rates)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=2048, help="pictures")
    parser.add_argument("--side", type=int, default=224, help="pixels")
    parser.add_argument("--pictures", type=Path, help="folder of PNG files of that side")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="+", help="names of sides")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    console = Console(width=130)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        names = arguments.only or list(SIDES)
        os.environ["M3DI_CACHE"] = str(root / "cache")
        left_out = prepare(root, list(scenes(arguments.n, arguments.side, arguments.pictures)), names)
        rates: dict[tuple[str, int, bool], float] = {}
        for name in names:
            for n_workers in arguments.workers:
                for shuffle in (False, True):
                    if name in left_out:
                        continue
                    if name == "uint8 memmap (limit)" and n_workers:
                        continue
                    try:
                        rates[name, n_workers, shuffle] = rate(
                            SIDES[name], root, shuffle, n_workers, arguments.n, arguments.repeats
                        )
                    except Exception as error:
                        left_out[name] = f"{type(error).__name__}: {error}"
            console.print(name, {key[1:]: round(value) for key, value in rates.items() if key[0] == name})
    table = Table("side", *(f"{w} workers, {o}" for w in arguments.workers for o in ("in order", "shuffled")))
    for name in names:
        cells = [rates.get((name, w, shuffle)) for w in arguments.workers for shuffle in (False, True)]
        table.add_row(name, *("" if cell is None else f"{cell:,.0f}" for cell in cells))
    console.print(table)
    for n_workers in arguments.workers:
        best = max((rates.get((name, n_workers, True), 0.0), name) for name in PEERS)
        png = rates.get(("ours, png", n_workers, True))
        if png and best[0]:
            console.print(f"{n_workers} workers, shuffled: ours, png / best peer ({best[1]}) = {png / best[0]:.2f}")
    limit, cached = rates.get(("uint8 memmap (limit)", 0, True)), rates.get(("ours, png, cache=ram", 0, True))
    if limit and cached:
        console.print(f"0 workers, shuffled: ours, cache=ram / memmap = {cached / limit:.2f}")
    for name, why in left_out.items():
        console.print(f"left out: {name}: {why.splitlines()[0][:110]}")
    shown = ("torch", "numpy", "pillow", "imagecodecs", "webdataset", "datasets", "litdata", "mosaicml-streaming")
    console.print(json.dumps({name: _version(name) for name in shown}), platform.machine(), sys.version.split()[0])


def _version(name: str) -> str:
    try:
        return version(name)
    except ModuleNotFoundError:
        return "not installed"


if __name__ == "__main__":
    main()
