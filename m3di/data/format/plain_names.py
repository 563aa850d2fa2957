"""Check the names and numbers of `dataset.json` once, so that no reader has to.

A dataset is data, and may come from a stranger. Its names become paths, columns and members of archives: plain names
cannot lead out of the folder. Its counts decide how much memory readers allocate: each has a limit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from m3di.data.format.limits import MAX_BYTES, MAX_SAMPLES, MAX_SEED, MAX_SIZE_PX
from m3di.latents.splits import SPLIT_NAME

MAX_NAME = 200  # characters; file systems take 255 bytes

_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_WORD = re.compile(r"[A-Za-z0-9_]+")
_DOTTED = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*")
_SHAPE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_DEVICES = ("cpu", "gpu")
_MADE_BY = ("quality", "device", "m3di", "bpy")


def _matching(pattern: re.Pattern[str], what: str) -> AfterValidator:
    def check(text: str) -> str:
        if len(text) > MAX_NAME or not pattern.fullmatch(text):
            shown = text if len(text) <= 60 else f"{text[:57]}..."
            raise ValueError(f"{shown!r} is no {what}")
        return text

    return AfterValidator(check)


FileName = Annotated[str, _matching(_FILE, "plain file name")]
SplitName = Annotated[str, _matching(SPLIT_NAME, "split")]
PartName = Annotated[str, _matching(_DOTTED, "plain name of a file of a sample")]
Extension = Annotated[str, _matching(_DOTTED, "plain file extension")]
ShapeName = Annotated[str, _matching(_SHAPE, "plain name of a shape")]
Sha256 = Annotated[str, _matching(_SHA256, "SHA-256 of 64 hexadecimal digits")]
Day = Annotated[str, _matching(re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}"), "day such as 2026-01-31")]
Printed = Annotated[str, _matching(re.compile(r"[^\x00-\x1f\x7f-\x9f]*"), "text of one line")]
Count = Annotated[int, Field(ge=0, le=MAX_SAMPLES)]
NBytes = Annotated[int, Field(ge=0, le=MAX_BYTES)]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]


def check_render(render: Mapping[str, Any], *, imported: bool) -> None:
    """Raise ValueError unless the settings of the images are numbers and texts of one line, those that are read among
    them.
    """
    for name, value in render.items():
        if not _WORD.fullmatch(name) or not isinstance(value, (str, int, float)) or len(str(value)) > MAX_NAME:
            raise ValueError(f"render.{name[:60]!r} is no plain setting")
        if isinstance(value, str) and not value.isprintable():
            raise ValueError(f"render.{name} is {value!r}: no text of one line")
    size_px = render.get("size_px")
    if type(size_px) is not int or not 1 <= size_px <= MAX_SIZE_PX:
        raise ValueError(f"render.size_px is {size_px!r}, expected pixels: 1 to {MAX_SIZE_PX}")
    if imported:
        return
    missing = [name for name in _MADE_BY if not isinstance(render.get(name), str)]
    if missing:
        raise ValueError(f"render.{missing[0]} is {render.get(missing[0])!r}, expected a text")
    if render["device"] not in _DEVICES:
        raise ValueError(f"render.device is {render['device']!r}, expected {' or '.join(_DEVICES)}")
