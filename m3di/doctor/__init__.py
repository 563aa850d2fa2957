"""What works on this machine, and how to mend the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from m3di.system.lazy_names import lazy_names

if TYPE_CHECKING:
    from m3di.doctor.names import *  # noqa: F403

__getattr__, __dir__ = lazy_names(__name__)
