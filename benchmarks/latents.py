"""Latents and captions: samples a second and peak memory, in one process on one core, against a plain way.

The plain way draws the same factors and words the same captions sample by sample in pure Python, as generators that
loop over samples do: `random` for each value, `colorsys` and a scan of the palette for each colour name, string
formatting for each caption, one CSV row at a time.
"""

from __future__ import annotations

import argparse
import colorsys
import csv
import os
import platform
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table


def ours(n: int, folder: Path) -> None:
    from m3di.data import write_samples
    from m3di.latents import load_spec, sample

    write_samples(folder / "latents.csv", sample(load_spec("m3di"), "train", n))


def plain(n: int, folder: Path) -> None:
    from m3di.latents import load_template, palette

    palettes = [palette(name) for name in ("tableau", "css4", "xkcd")]
    shapes = ("teapot", "hare", "dragon", "cow", "armadillo", "horse", "head")
    phrasings = [
        phrasing.text.replace("{{ object_shape.a }}", "a {object_shape}").replace("{{ ", "{").replace(" }}", "}")
        for phrasing in load_template("m3di").phrasings.values()
    ]
    rng = random.Random(0)
    with (folder / "plain.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        for _ in range(n):
            shape, x, y = rng.choice(shapes), rng.randrange(3), rng.randrange(3)
            hue = (x + rng.random()) / 3
            others = [rng.random() for _ in range(6)]
            rgb = colorsys.hsv_to_rgb(hue, 1.0, 1.0)
            drawn = rng.choice(palettes)
            name = min(zip(drawn.rgb.tolist(), drawn.names, strict=True), key=lambda entry: distance(rgb, entry[0]))[1]
            words = {
                "object_shape": shape,
                "object_xpos": ("left", "center", "right")[x],
                "object_ypos": ("top", "mid", "bottom")[y],
                "text_color": name,
            }
            writer.writerow([shape, x, y, hue, *others, name, rng.choice(phrasings).format(**words)])


def distance(one: tuple[float, float, float], other: list[float]) -> float:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=125_000, help="samples")
    parser.add_argument("--side", choices=["ours", "plain"], help="measure one side (used by the benchmark itself)")
    arguments = parser.parse_args()
    if arguments.side:
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            {"ours": ours, "plain": plain}[arguments.side](arguments.n, Path(folder))
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            sys.stdout.write(f"{time.perf_counter() - start} {peak}")
        return
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    pin = ["taskset", "-c", "0"] if platform.system() == "Linux" else []
    table = Table("way", "seconds", "samples/s", "peak memory (MB)", "times faster")
    results = {}
    for side in ("ours", "plain"):
        command = [*pin, sys.executable, __file__, "--n", str(arguments.n), "--side", side]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        results[side] = tuple(map(float, done.stdout.split()))
    for side, (seconds, peak) in results.items():
        ratio = results["plain"][0] / seconds
        table.add_row(side, f"{seconds:.1f}", f"{arguments.n / seconds:,.0f}", f"{peak:.0f}", f"{ratio:.1f}")
    console = Console(width=110)
    console.print(table)
    console.print(
        f"n {arguments.n}, imports included, one core; {platform.machine()}, Python {platform.python_version()}"
    )


if __name__ == "__main__":
    main()
