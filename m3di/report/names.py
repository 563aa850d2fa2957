"""The names of `m3di.report`, see `m3di.system.lazy_names`."""

from __future__ import annotations

from m3di.report.lettering import missing_characters
from m3di.report.pictures.contact_sheet import check_layout, contact_sheet, save_contact_sheet
from m3di.report.pictures.graph import ROLE_COLORS, causal_graph, factor_marks, factor_places, save_causal_graph
from m3di.report.pictures.turntable import save_turntable_sheet, turntable_sheet

__all__ = [
    "ROLE_COLORS",
    "causal_graph",
    "check_layout",
    "contact_sheet",
    "factor_marks",
    "factor_places",
    "missing_characters",
    "save_causal_graph",
    "save_contact_sheet",
    "save_turntable_sheet",
    "turntable_sheet",
]
