"""Pictures and tables of what was generated and learnt."""

from m3di.report.contact_sheet import contact_sheet, save_contact_sheet
from m3di.report.turntable import save_turntable_sheet, turntable_sheet

__all__ = ["contact_sheet", "save_contact_sheet", "save_turntable_sheet", "turntable_sheet"]
