"""The plan that goes with an export: what an import of it must know beside the published files."""

from __future__ import annotations

from typing import Literal

from m3di.data.format.manifest import Manifest, Plan, parse_as
from m3di.data.format.plain_names import Day, Printed
from m3di.latents import LATENTS


class ExportedPlan(Plan):
    """A plan, and what the manifest knows of its making; see `Manifest`."""

    devices: tuple[Printed, ...] = ()
    created: Day | Literal[""] = ""


def exported_plan_of(manifest: Manifest) -> ExportedPlan:
    """Return what an export keeps of the manifest: of the files of a sample, those of its views and the latents."""
    dumped = manifest.model_dump(include=set(ExportedPlan.model_fields))
    kept = (*manifest.parsed_spec.observed, LATENTS)
    extensions = {part: each for part, each in manifest.extensions.items() if part in kept}
    return ExportedPlan.model_validate({**dumped, "extensions": extensions})


def parse_exported_plan(raw: bytes, where: str) -> ExportedPlan:
    """Read the plan of an export from the bytes of a file.

    Raises:
        M3diError: It is no valid plan.
    """
    return parse_as(ExportedPlan, raw, where)
