"""The dataset that comes with m3di: something to load, train on and look at before anything is rendered."""

from __future__ import annotations

from typing import Any

from m3di.data.load.dataset import Multimodal3DIdent
from m3di.data.upkeep.shipped_example import EXAMPLE


def load_example(split: str = "train", **options: Any) -> Multimodal3DIdent:
    """Load the dataset that is part of m3di: 600 + 150 + 150 pairs of the spec `m3di` at 64 px, seed 0.

    It is enough to try each step, and too small to learn much from.

    Args:
        split: `train`, `val` or `test`.
        **options: Those of `Multimodal3DIdent`: `views`, `factors`, `filter`, `cache`, ...

    Returns:
        The dataset; its `root` is a folder to read only. `m3di example` copies it to a folder that you choose.

    Raises:
        UsageError: There is no such split, view, factor or column.

    Example:
        >>> import m3di
        >>> pairs = m3di.load_example()
        >>> len(pairs), tuple(pairs[0]["image"].shape)
        (600, (3, 64, 64))
        >>> reds = m3di.load_example("test", filter="image.object_color < 0.05")
        >>> 0 < len(reds) < 150
        True
    """
    return Multimodal3DIdent(EXAMPLE, split, **options)
