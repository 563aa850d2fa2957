"""Encoders, losses and training.

Importing the package does not import PyTorch; the first use of a name does. Blender is never imported.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from m3di.errors import M3diError
from m3di.system.lazy_names import lazy_names

if TYPE_CHECKING:
    from m3di.learn.names import *  # noqa: F403

for _needed in ("torch", "safetensors"):
    if find_spec(_needed) is None:
        raise M3diError(
            "training needs PyTorch and safetensors, which are not installed",
            where="import m3di.learn",
            got=f"no module named {_needed!r}",
            next_step="pip install 'm3di[train]'",
        )

__getattr__, __dir__ = lazy_names(__name__)
