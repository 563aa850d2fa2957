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
from m3di.latents.modality import MODALITIES
from m3di.learn.losses import LOSSES
from m3di.learn.models.registry import IMAGE_ENCODERS, TEXT_ENCODERS
from m3di.learn.training.augmentation import AUGMENTATIONS
from m3di.learn.training.loggers import LOGGERS
from m3di.render import QUALITIES
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


KINDS: dict[str, tuple[Registry[Any], str, str]] = {  # what registers: where in m3di, and how
    "metric": (METRICS, "m3di/evaluate/probes/", "@m3di.evaluate.register_metric(NAME)"),
    "loss": (LOSSES, "m3di/learn/losses/", "@m3di.learn.register_loss(NAME)"),
    "encoder of images": (IMAGE_ENCODERS, "m3di/learn/models/", "m3di.learn.register_image_encoder(NAME, BUILD)"),
    "encoder of texts": (TEXT_ENCODERS, "m3di/learn/models/", "m3di.learn.register_text_encoder(NAME, BUILD)"),
    "modality": (MODALITIES, "m3di/latents/views/", "m3di.register_modality(MODALITY)"),
    "export layout": (LAYOUTS, "m3di/data/layouts/", "@m3di.data.register_layout(NAME)"),
    "mechanism": (MECHANISMS, "m3di/latents/builtin/", "@m3di.latents.register(NAME, ...)"),
    "augmentation": (AUGMENTATIONS, "m3di/learn/training/augmentation.py", "@AUGMENTATIONS.register(NAME)"),
    "logger": (LOGGERS, "m3di/learn/training/loggers.py", "@LOGGERS.register(NAME)"),
    "quality preset": (QUALITIES, "m3di/render/quality.py", "QUALITIES.add(NAME, Quality(...))"),
}
TABLES: dict[str, tuple[Registry[Any], Row, Callable[[Any], Row]]] = {
    "metrics": (METRICS, ("what", "of", "scores"), metric_row),
    "losses": (LOSSES, ("what", "heeds"), loss_row),
    "image_encoders": (IMAGE_ENCODERS, ("what",), lambda build: (first_sentence(build),)),
    "text_encoders": (TEXT_ENCODERS, ("what",), lambda build: (first_sentence(build),)),
    "modalities": (
        MODALITIES,
        ("what", "is"),
        lambda modality: (first_sentence(type(modality)), modality.source),
    ),
    "layouts": (LAYOUTS, ("what",), lambda layout: (first_sentence(layout),)),
    "mechanisms": (MECHANISMS, ("what",), lambda mechanism: (first_sentence(mechanism.function),)),
    "augmentations": (AUGMENTATIONS, ("what",), lambda augmentation: (first_sentence(augmentation),)),
    "loggers": (LOGGERS, ("what",), lambda logger: (first_sentence(logger),)),
}


def table(name: str) -> str:
    if name == "kinds":
        lines = [("what", "group", "in m3di", "registered by"), ("---",) * 4]
        lines += [(what, f"`{each.group}`", f"`{where}`", f"`{how}`") for what, (each, where, how) in KINDS.items()]
        return "".join(f"| {' | '.join(line)} |\n" for line in lines)
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
