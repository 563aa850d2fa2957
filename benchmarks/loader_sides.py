"""The sides of benchmarks/loader.py: how each writes its copy of the pictures, and how it reads float batches."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from m3di.data import (
    Batches,
    BatchLoader,
    Manifest,
    Multimodal3DIdent,
    Normaliser,
    Plan,
    TextEntry,
    build_tokenizer,
    sample_key,
)
from m3di.data.format.assemble import assemble, sample_json
from m3di.data.format.citation import today
from m3di.data.format.images import encode
from m3di.data.format.table import latent_columns
from m3di.latents import captions, load_spec, plain_spec, sample

BATCH = 64
LIMIT, LIMIT_REUSED = "uint8 memmap (limit)", "uint8 memmap, reused buffers"
Batch = torch.Tensor
Side = Callable[[Path, bool, int], Iterator[Batch]]


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
        shard_size=256,  # several a worker, as webdataset asks for
        extensions={"image": extension, "text": "txt", "latents": "json"},
        render={
            "size_px": pictures[0].shape[0],
            "quality": "standard",
            "device": "cpu",
            "m3di": "benchmark",
            "bpy": "none",
        },
        text={"text": TextEntry(vocabulary=tokens.vocabulary, length=tokens.length)},
    )
    table = pa.table({"text.caption": texts, **columns})
    with ThreadPoolExecutor() as pool:
        encoded = pool.map(lambda picture: encode(picture, extension), pictures)
        contents = (
            {
                extension: raw,
                "txt": texts[row].encode(),
                "json": sample_json({name: values[row] for name, values in columns.items()}),
            }
            for row, raw in enumerate(encoded)
        )
        tables = {split: table.slice(0, plan.n_samples[split]) for split in plan.n_samples}
        root.mkdir(parents=True, exist_ok=True)
        return assemble(root, plan, tables, {"train": contents}, created=today())


def ours(extension: str, cache: Any = None) -> Side:
    """Our batch path: whole batches of uint8, read ahead by threads, normalised in one buffer."""

    def read(root: Path, shuffle: bool, n_workers: int) -> Iterator[Batch]:
        dataset = Multimodal3DIdent(root / f"ours-{extension}", cache=cache)
        if cache:
            for start in range(0, len(dataset), BATCH):
                dataset[start : start + BATCH]
        loader = BatchLoader(dataset, Batches(dataset, BATCH, shuffle=shuffle), n_threads=n_workers)
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


def import_torchvision() -> None:
    """Import torchvision, which mosaicml-streaming and litdata want and none of what is measured uses.

    Its published wheels are built for torch with CUDA; beside torch without, two operators are missing, here declared.
    """
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        for name in ("nms", "qnms"):
            torch.library.define(f"torchvision::{name}", "(Tensor boxes, Tensor scores, float threshold) -> Tensor")
        for name in [name for name in sys.modules if name.startswith("torchvision")]:
            del sys.modules[name]


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


def memmap_reused(root: Path, shuffle: bool, n_workers: int) -> Iterator[Batch]:
    """The same into buffers that are used again, as ours does."""
    pixels, normalise = np.load(root / "pixels.npy", mmap_mode="r"), Normaliser()
    order = np.random.default_rng(0).permutation(len(pixels)) if shuffle else np.arange(len(pixels))
    for start in range(0, len(order), BATCH):
        yield normalise(torch.from_numpy(pixels[order[start : start + BATCH]]).permute(0, 3, 1, 2))


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
    LIMIT: memmap,
    LIMIT_REUSED: memmap_reused,
}
PEERS = {  # and the package that each needs
    "webdataset": "webdataset",
    "litdata": "litdata",
    "mosaicml-streaming": "mosaicml-streaming",
    "Hugging Face datasets": "datasets",
    "loose PNG files": "torch",
}


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
    for name, write in (("litdata", write_lit), ("mosaicml-streaming", write_mosaic)):
        if name in names:
            try:
                write(root, files)
            except Exception as error:  # report any error of a peer, and go on with the others
                left_out[name] = f"{type(error).__name__}: {error}"
    return left_out


def write_lit(root: Path, files: list[bytes]) -> None:
    import_torchvision()
    from litdata.streaming.writer import BinaryWriter

    writer = BinaryWriter(str(root / "lit"), chunk_bytes="64MB")
    for index, raw in enumerate(files):
        writer[index] = {"png": raw}
    writer.done()
    writer.merge()


def write_mosaic(root: Path, files: list[bytes]) -> None:
    import_torchvision()
    from streaming import MDSWriter

    with MDSWriter(out=str(root / "mosaic"), columns={"png": "bytes"}) as out:
        for raw in files:
            out.write({"png": raw})
