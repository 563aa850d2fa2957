"""From latents to images to shards: the only room that knows both rendering and datasets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from m3di.system.lazy_names import lazy_names

if TYPE_CHECKING:
    from m3di.generate.names import *  # noqa: F403

__getattr__, __dir__ = lazy_names(__name__)
