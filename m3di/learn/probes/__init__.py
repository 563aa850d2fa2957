"""Metrics of what an encoding holds: one file each."""

from __future__ import annotations
