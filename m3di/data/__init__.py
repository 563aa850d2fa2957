"""Shards on disk, their manifest and table, verification, and the torch `Dataset`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from m3di.system.lazy_names import lazy_names

if TYPE_CHECKING:
    from m3di.data.names import *  # noqa: F403

__getattr__, __dir__ = lazy_names(__name__)
