"""The names of `m3di.doctor`, see `m3di.system.lazy_names`."""

from __future__ import annotations

from m3di.doctor.examination import Examination, Finding, examine

__all__ = ["Examination", "Finding", "examine"]
