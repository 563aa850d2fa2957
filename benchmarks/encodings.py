"""Bytes, encoding and decoding time of lossless image formats, on one core; every decoder must give the very pixels."""

from __future__ import annotations

import argparse
import io
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import zstandard
from PIL import Image
from rich.console import Console
from rich.table import Table

from m3di.data.format.images import decode

Encode = Callable[[Any], bytes]
Decode = Callable[[bytes], Any]


def pillow(kind: str, **options: Any) -> Encode:
    def encode(pixels: Any) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, kind, **options)
        return buffer.getvalue()

    return encode


def by_pillow(raw: bytes) -> Any:
    return np.array(Image.open(io.BytesIO(raw)).convert("RGB"))


def best(function: Callable[[Any], object], arguments: list[Any], repeats: int) -> float:
    """Milliseconds of processor time a call: the best of some rounds, since others may share the machine."""
    rounds = []
    for _ in range(repeats):
        start = time.process_time()
        for argument in arguments:
            function(argument)
        rounds.append((time.process_time() - start) / len(arguments) * 1e3)
    return min(rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", type=Path, help="folder of PNG files")
    parser.add_argument("--repeats", type=int, default=20)
    arguments = parser.parse_args()
    pictures = [by_pillow(path.read_bytes()) for path in sorted(arguments.pictures.glob("*.png"))]
    shape = pictures[0].shape
    rows: list[tuple[str, Encode, dict[str, Decode]]] = [
        *(
            (
                f"PNG, level {level}",
                pillow("PNG", compress_level=level),
                {"Pillow": by_pillow, "ours": lambda raw: decode(raw, "png")},
            )
            for level in (1, 3, 6, 9)
        ),
        *(
            (
                f"WebP lossless, method {method}",
                pillow("WEBP", lossless=True, method=method),
                {"Pillow": by_pillow, "ours": lambda raw: decode(raw, "webp")},
            )
            for method in (0, 4)
        ),
        ("QOI", pillow("QOI"), {"Pillow": by_pillow, "ours": lambda raw: decode(raw, "qoi")}),
        (
            "JPEG XL lossless, effort 3",
            lambda a: imagecodecs.jpegxl_encode(a, lossless=True, effort=3),
            {"imagecodecs": imagecodecs.jpegxl_decode},
        ),
        (
            "raw pixels, zstd level 3",
            lambda pixels: zstandard.ZstdCompressor(3).compress(pixels.tobytes()),
            {
                "zstandard": lambda raw: np.frombuffer(zstandard.ZstdDecompressor().decompress(raw), np.uint8).reshape(
                    shape
                )
            },
        ),
    ]
    table = Table("format", "bytes", "encode (ms)", "decode (ms)", "by", "decode (ms)", "by")
    for name, encode, decoders in rows:
        files = [encode(picture) for picture in pictures]
        cells = []
        for by, decoder in decoders.items():
            for raw, picture in zip(files, pictures, strict=True):
                np.testing.assert_array_equal(decoder(raw), picture)
            cells += [f"{best(decoder, files, arguments.repeats):.2f}", by]
        n_bytes = sum(map(len, files)) / len(files)
        table.add_row(name, f"{n_bytes:,.0f}", f"{best(encode, pictures, 3):.2f}", *cells)
    console = Console(width=120)
    console.print(table)
    console.print(
        f"{len(pictures)} pictures {shape}; Pillow {version('pillow')}, imagecodecs {version('imagecodecs')}, "
        f"{platform.machine()}, Python {platform.python_version()}"
    )


if __name__ == "__main__":
    main()
