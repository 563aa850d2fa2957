"""Blender as a process: what it prints, and where it keeps its GPUs. Imported in worker processes only."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from typing import Any

import bpy


def cycles_preferences() -> Any:
    """Preferences of the renderer, with the GPUs it finds."""
    return bpy.context.preferences.addons["cycles"].preferences


@contextlib.contextmanager
def quiet() -> Iterator[list[str]]:
    """Keep what Blender prints at C level away from the terminal; the lines are in the list afterwards."""
    lines: list[str] = []
    with tempfile.TemporaryFile() as sink:
        saved = [os.dup(1), os.dup(2)]
        try:
            os.dup2(sink.fileno(), 1)
            os.dup2(sink.fileno(), 2)
            yield lines
        finally:
            for stream, copy in zip((1, 2), saved, strict=True):
                os.dup2(copy, stream)
                os.close(copy)
            sink.seek(0)
            lines.extend(sink.read().decode(errors="replace").splitlines())
