"""The paper's numbers of its numerical simulation (Daunhawer et al., ICLR 2023): R2 of kernel ridge regression.

Only numbers that were read off the paper's tables are here; figures 5, 6 and 7a are curves, and have none.
"""

from __future__ import annotations

from collections.abc import Sequence

Key = tuple[str, str, float, bool, bool]  # recipe, setting, pi, statistical, causal

_DEPENDENCES = ((1.0, False, False), (0.75, False, False), (0.75, True, False), (0.75, False, True), (0.75, True, True))


def _table(recipe: str, setting: str, blocks: str, rows: Sequence[tuple[float, ...]]) -> dict[Key, dict[str, float]]:
    return {
        (recipe, setting, *dependence): dict(zip(blocks.split(), row, strict=True))
        for dependence, row in zip(_DEPENDENCES, rows, strict=True)
    }


_MULTIVIEW = [(1.00, 0.00), (0.99, 0.00), (0.99, 0.52), (1.00, 0.79), (0.99, 0.81)]
PAPER: dict[Key, dict[str, float]] = {
    **_table(
        "table1",
        "multimodal",
        "content style modality",
        [(0.99, 0.00, 0.00), (1.00, 0.00, 0.00), (0.95, 0.56, 0.00), (0.98, 0.87, 0.00), (0.95, 0.89, 0.00)],
    ),
    **_table("table1", "multiview", "content style", _MULTIVIEW),
    **_table("table4", "multiview", "content style", _MULTIVIEW),
    **_table(
        "table4",
        "distinct mixings",
        "content style",
        [(1.00, 0.00), (1.00, 0.00), (0.99, 0.36), (1.00, 0.81), (0.99, 0.83)],
    ),
    **_table(
        "figure8",
        "multimodal",
        "content content' style modality",
        [
            (0.0, 1.0, 0.0, 0.0),
            (0.0, 1.0, 0.0, 0.0),
            (0.0, 1.0, 0.50, 0.0),
            (0.01, 0.98, 0.03, 0.0),
            (0.28, 0.91, 0.39, 0.0),
        ],
    ),
}
