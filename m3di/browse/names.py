"""The names of `m3di.browse`, see `m3di.system.lazy_names`."""

from __future__ import annotations

from m3di.browse.encoding_map import held_out_rows
from m3di.browse.gathered import Gathered, gather_rows
from m3di.browse.look import Look, check_n_encoded, encoded_look, open_look
from m3di.browse.one_file import rows_of_page, write_page
from m3di.browse.server import PageServer

__all__ = [
    "Gathered",
    "Look",
    "PageServer",
    "check_n_encoded",
    "encoded_look",
    "gather_rows",
    "held_out_rows",
    "open_look",
    "rows_of_page",
    "write_page",
]
