"""The numerical simulation of the paper: a fully known process, and what encoders recover of it.

Importing the package does not import PyTorch; the first use of a name does.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from m3di.simulate.names import *  # noqa: F403


def __getattr__(name: str) -> Any:
    return getattr(import_module("m3di.simulate.names"), name)
