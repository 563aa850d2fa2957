"""How the hue that an image shows differs from `object_color`: renders samples of `m3di`, draws the figure of the docs.

    python benchmarks/displayed_hue.py

The image shows the object's linear base colour under coloured light, encoded to sRGB. The line is what white light and
no shading would leave: the hue of the base colour after the encoding.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from m3di.generate import RenderOptions, render
from m3di.latents import Spec, hsv_to_rgb, load_spec
from m3di.render.image import linear_to_srgb
from m3di.report.style import TEXT_WIDTH_IN, paper_style

Hues = NDArray[np.float64]
SIZE_PX = 128


def rendered(folder: Path, n: int) -> tuple[Spec, dict[str, Hues]]:
    """The spec, and columns of `n` rendered samples: hues in turns."""
    options = RenderOptions(out=folder, n_train=n, n_val=0, n_test=0, size_px=SIZE_PX, quality="draft")
    render(options)
    names = ("object_color", "object_color_hue", "spotlight_color_hue", "object_displayed_hue", "object_visible_px")
    table = pq.read_table(folder / "train.parquet")
    names = tuple(name for name in names if f"image.{name}" in table.column_names)
    return load_spec("m3di"), {name: table[f"image.{name}"].to_numpy() for name in names}


def encoded_hue(hue: Hues, saturation: float) -> Hues:
    """Hue of a base colour once it is encoded to sRGB, in white light of strength 1."""
    from matplotlib.colors import rgb_to_hsv

    encoded = linear_to_srgb(hsv_to_rgb(hue, saturation, 1.0)) / 255.0
    return np.asarray(rgb_to_hsv(encoded)[..., 0])


def apart(one: Hues, other: Hues) -> Hues:
    """How far one hue is from another along the circle, signed, in turns: [-1/2, 1/2)."""
    return (one - other + 0.5) % 1.0 - 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--folder", type=Path, default=Path("data/bench/hue"))
    parser.add_argument("--out", type=Path, default=Path("docs/images/displayed-hue.png"))
    arguments = parser.parse_args()
    spec, columns = rendered(arguments.folder, arguments.n)
    factor = spec.factors["object_color"]
    raw, shown = columns["object_color"], columns["object_displayed_hue"]
    seen = shown >= 0.0
    hue = factor.physical(raw) % 1.0
    difference = apart(shown, hue)[seen]
    expected = apart(encoded_hue(hue, factor.saturation), hue)[seen]
    left = apart(shown[seen], encoded_hue(hue, factor.saturation)[seen])
    for name, values in (("displayed - object", difference), ("of it, the encoding", expected), ("the rest", left)):
        size = np.abs(values)
        print(
            f"{name:20} median {np.median(size):.3f}, 95 % below {np.quantile(size, 0.95):.3f}, most {size.max():.3f}"
        )
    print(f"{seen.sum()} of {len(seen)} samples have a displayed hue")
    with paper_style():
        figure, axis = plt.subplots(figsize=(TEXT_WIDTH_IN, 2.3), layout="constrained")
        line = np.linspace(0.0, 1.0, 721)
        axis.axhline(0.0, color="0.8", linewidth=0.6)
        axis.plot(line, apart(encoded_hue(line, factor.saturation), line), color="0.3", label="encoded, in white light")
        light = hsv_to_rgb(
            columns["spotlight_color_hue"], spec.factors["spotlight_color"].saturation, 1.0, wheel="published"
        )
        axis.scatter(
            hue[seen],
            difference,
            c=np.clip(light[seen], 0, 1),
            s=14,
            edgecolors="0.3",
            linewidths=0.4,
            label="a sample, in the colour of its spotlight",
        )
        axis.set(xlabel="hue of the object (turns)", ylabel="displayed hue minus it (turns)", xlim=(0, 1))
        axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)
        figure.savefig(arguments.out, dpi=200)


if __name__ == "__main__":
    main()
