"""Words that a shell completes: names of registries, read where they are registered, since to import them takes torch.

Completion is quick, or nobody waits for it. A test compares the words with the registries.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

import click
from click.shell_completion import CompletionItem

PACKAGE = Path(__file__).parents[1]
_REGISTERS = r"^(?:@|){how}\(\s*\"([^\"]+)\""


def registered(group: str, place: str, how: str = r"(?:\w+\.)?register(?:_\w+)?") -> list[str]:
    """List the names of a registry without importing what they stand for.

    Args:
        group: Group of entry points.
        place: The module, or the package, of m3di that registers its own.
        how: Regular expression of the call that registers.
    """
    from importlib.metadata import entry_points  # takes longer to import than the rest: not before somebody asks

    path = PACKAGE / place
    files = sorted(path.glob("*.py")) if path.is_dir() else [path]
    pattern = re.compile(_REGISTERS.format(how=how), re.MULTILINE)
    own = [name for file in files for name in pattern.findall(file.read_text(encoding="utf-8"))]
    return sorted({*own, *(point.name for point in entry_points(group=group))})


def metrics() -> list[str]:
    """List the metrics of `m3di evaluate`."""
    return registered("m3di.metrics", "evaluate/probes")


def layouts() -> list[str]:
    """List the layouts of `m3di export`."""
    return registered("m3di.layouts", "data/layouts")


def specs() -> list[str]:
    """List the built-in specs."""
    return sorted(path.stem for path in (PACKAGE / "latents" / "specs").glob("*.yaml"))


def shapes() -> list[str]:
    """List the shapes."""
    from m3di.latents import shape_names

    return shape_names()


def presets() -> Iterable[str]:
    """List the presets of training."""
    from m3di.learn.training.config import PRESETS

    return PRESETS


def scales() -> Iterable[str]:
    """List the scales of a reproduction."""
    from m3di.reproduce.scales import SCALES

    return SCALES


def recipes() -> Iterable[str]:
    """List the recipes of a simulation."""
    return ("table1", "table4", "figure5", "figure6", "figure7a", "figure8")


def passes() -> Iterable[str]:
    """List what can be rendered beside an image."""
    from m3di.render import PASSES

    return PASSES


def gpu_backends() -> list[str]:
    """List the ways to reach a GPU."""
    from m3di.render import GPU_BACKENDS

    return [name.lower() for name in GPU_BACKENDS]


OF_FIELDS: dict[str, Callable[[], Iterable[str]]] = {
    "spec": specs,
    "loss": lambda: registered("m3di.losses", "learn/losses"),
    "image_encoder": lambda: registered("m3di.image_encoders", "learn/models", "register_image_encoder"),
    "text_encoder": lambda: registered("m3di.text_encoders", "learn/models", "register_text_encoder"),
    "augment": lambda: registered("m3di.augmentations", "learn/training/augmentation.py"),
    "loggers": lambda: registered("m3di.loggers", "learn/training/loggers.py"),
    "passes": passes,
    "gpu_backend": gpu_backends,
}
"""Words for fields of settings that state no list of their own."""


def completed(
    words: Iterable[str], incomplete: str, *, in_list: bool = False, or_file: bool = False
) -> list[CompletionItem]:
    """Return the words that begin as typed.

    Args:
        words: All words.
        incomplete: What is typed.
        in_list: Several of them may be typed, with commas; the last one is completed.
        or_file: The shell completes a path if no word fits.
    """
    before, comma, last = incomplete.rpartition(",") if in_list else ("", "", incomplete)
    found = [CompletionItem(f"{before}{comma}{word}") for word in words if word.startswith(last)]
    return found or ([CompletionItem(incomplete, type="file")] if or_file else [])


class KnownWord(click.ParamType):  # type: ignore[type-arg]  # generic in recent ones of click only
    """Text of which a shell completes the usual words; the command itself checks it.

    Args:
        words: Lists the words.
        in_list: See `completed`.
        or_file: See `completed`.
    """

    name = "text"
    envvar_list_splitter = ";"

    def __init__(self, words: Callable[[], Iterable[str]], *, in_list: bool = False, or_file: bool = False) -> None:
        self._words, self._in_list, self._or_file = words, in_list, or_file

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the words that begin as typed."""
        return completed(self._words(), incomplete, in_list=self._in_list, or_file=self._or_file)


LAYOUTS = KnownWord(layouts)
IMAGE_FORMATS = KnownWord(lambda: ("png", "webp", "qoi"))
SPLITS = KnownWord(lambda: ("train", "val", "test"))
PROBES = KnownWord(metrics, in_list=True)
SPECS = KnownWord(specs, or_file=True)
SHAPES = KnownWord(shapes)
PRESETS = KnownWord(presets)
SCALES = KnownWord(scales)
RECIPES = KnownWord(recipes)
