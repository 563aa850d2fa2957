"""The numerical simulation of the paper: a fully known process, and what encoders recover of it.

Importing the package does not import PyTorch; the first use of a name does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from m3di.system.lazy_names import lazy_names

if TYPE_CHECKING:
    from m3di.simulate.names import *  # noqa: F403

__getattr__, __dir__ = lazy_names(__name__)
