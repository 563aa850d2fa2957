"""Hues to colours, and colours to names."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from m3di.errors import UsageError, did_you_mean

PALETTES = ("tableau", "css4", "xkcd")


def hsv_to_rgb(hue: ArrayLike, saturation: float, value: float, *, wheel: str = "hsv") -> NDArray[np.float64]:
    """RGB of a hue.

    Args:
        hue: Hue, 1 is a full turn, any shape. The wheel `hsv` wraps it to [0, 1).
        saturation: Saturation in [0, 1].
        value: Value in [0, 1].
        wheel: `hsv`, or `published`: negative hues leave the colour wheel as they do in the published dataset,
            whose code truncates the sector of the hue towards zero. Channels may then lie below 0 or above 1.

    Returns:
        RGB with shape [..., 3]. No transfer function is applied.
    """
    hue = np.asarray(hue, dtype=np.float64)
    if wheel == "hsv":
        hue = hue % 1.0
    sector = np.trunc(hue * 6.0)
    f = hue * 6.0 - sector
    p = np.full_like(hue, value * (1.0 - saturation))
    q = value * (1.0 - saturation * f)
    t = value * (1.0 - saturation * (1.0 - f))
    v = np.full_like(hue, value)
    sectors = [(v, t, p), (q, v, p), (p, v, t), (p, q, v), (t, p, v), (v, p, q)]
    choice = sector.astype(np.int64) % 6
    return np.stack([np.choose(choice, [rgb[c] for rgb in sectors]) for c in range(3)], axis=-1)


@dataclass(frozen=True)
class Palette:
    """Named colours.

    Attributes:
        names: Names as in matplotlib, with its `tab:` and `xkcd:` prefixes.
        rgb: Their RGB in [0, 1], float64 [n, 3].
        hex: Their hexadecimal notation.
    """

    names: tuple[str, ...]
    rgb: NDArray[np.float64]
    hex: tuple[str, ...]

    def nearest(self, rgb: NDArray[np.float64]) -> NDArray[np.int64]:
        """Index of the nearest colour (Euclidean distance in RGB) of each row.

        Of colours at one distance, the first; of the two names of one colour (aqua and cyan), the later in the list,
        as in the captions of the published dataset.
        """
        tree, last = self._distinct
        distance, index = tree.query(rgb, k=2)
        tied = distance[:, 0] == distance[:, 1]
        return np.asarray(last[np.where(tied, index.min(axis=1), index[:, 0])], dtype=np.int64)

    @cached_property
    def _distinct(self) -> tuple[Any, NDArray[np.int64]]:
        """A tree of the colours, each once, in the order of their first names; and the last index of each."""
        from scipy.spatial import cKDTree

        distinct, first, which = np.unique(self.rgb, axis=0, return_index=True, return_inverse=True)
        last = np.zeros_like(first)
        np.maximum.at(last, which.ravel(), np.arange(len(self.rgb)))
        order = np.argsort(first)
        return cKDTree(distinct[order]), last[order]


@cache
def palette(name: str) -> Palette:
    """One of matplotlib's palettes: `tableau` (10 colours), `css4` (148) or `xkcd` (949)."""
    from matplotlib import colors

    known = {"tableau": colors.TABLEAU_COLORS, "css4": colors.CSS4_COLORS, "xkcd": colors.XKCD_COLORS}
    if name not in known:
        raise UsageError(
            f"no palette is called {name!r}",
            expected=", ".join(known),
            next_step=did_you_mean(name, known),
        )
    entries = known[name]
    return Palette(
        names=tuple(entries),
        rgb=np.array([colors.to_rgb(value) for value in entries.values()]),
        hex=tuple(colors.to_hex(value) for value in entries.values()),
    )


@cache
def own_palette(colors: tuple[tuple[str, str], ...]) -> Palette:
    """A palette of names of colours, each with its hexadecimal notation `#rrggbb`."""
    codes = [code for _, code in colors]
    rgb = [[int(code[place : place + 2], 16) / 255 for place in (1, 3, 5)] for code in codes]
    return Palette(tuple(name for name, _ in colors), np.array(rgb), tuple(code.lower() for code in codes))
