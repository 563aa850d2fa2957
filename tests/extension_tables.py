"""The tables of docs/extending.md, from the registries: `python -m tests.extension_tables` writes them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from m3di.data import LAYOUTS
from m3di.evaluate import METRICS
from m3di.latents import MECHANISMS
from m3di.learn.losses import LOSSES
from m3di.learn.training.augmentation import AUGMENTATIONS
from m3di.learn.training.loggers import LOGGERS
from m3di.system.registry import Registry

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"
BLOCK = re.compile(r"(<!-- (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
Row = tuple[str, ...]


def first_sentence(of: Any) -> str:
    """The first paragraph of a docstring, in one line."""
    return " ".join((inspect.getdoc(of) or "").split("\n\n")[0].split())


def metric_row(metric: Any) -> Row:
    scores = ", ".join(f"`{name}` {least:g} to {most:g}" for name, least, most in metric.scores)
    return (first_sentence(metric), metric.scope, scores)


def loss_row(loss: Any) -> Row:
    return (first_sentence(loss), ", ".join(f"`{each}`" for each in sorted(loss.heeds)))


TABLES: dict[str, tuple[Registry[Any], Row, Callable[[Any], Row]]] = {
    "metrics": (METRICS, ("what", "of", "scores"), metric_row),
    "losses": (LOSSES, ("what", "heeds"), loss_row),
    "layouts": (LAYOUTS, ("what",), lambda layout: (first_sentence(layout),)),
    "mechanisms": (MECHANISMS, ("what",), lambda mechanism: (first_sentence(mechanism.function),)),
    "augmentations": (AUGMENTATIONS, ("what",), lambda augmentation: (first_sentence(augmentation),)),
    "loggers": (LOGGERS, ("what",), lambda logger: (first_sentence(logger),)),
}


def table(name: str) -> str:
    registry, head, row_of = TABLES[name]
    names: Iterable[str] = registry.own() if registry.package else registry
    rows = [(f"`{each}`", *row_of(registry[each])) for each in names]
    lines = [("name", *head), tuple("---" for _ in ("name", *head)), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def with_tables(page: str) -> str:
    """The page with its tables as they are now."""
    return BLOCK.sub(lambda found: found[1] + table(found[2]) + found[3], page)


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
