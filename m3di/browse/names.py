"""The names of `m3di.browse`, see `m3di.system.lazy_names`."""

from __future__ import annotations

from m3di.browse.gathered import Gathered, gather_rows
from m3di.browse.look import Look, open_look
from m3di.browse.one_file import write_page
from m3di.browse.server import PageServer

__all__ = ["Gathered", "Look", "PageServer", "gather_rows", "open_look", "write_page"]
