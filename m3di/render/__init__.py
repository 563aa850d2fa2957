"""Scene values to images. Blender (`bpy`) is imported in this room only, and only inside worker processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from m3di.system.lazy_names import lazy_names

if TYPE_CHECKING:
    from m3di.render.names import *  # noqa: F403

__getattr__, __dir__ = lazy_names(__name__)
