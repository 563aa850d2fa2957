"""Interventional twins of a rendered dataset: the same noise and camera, some mechanisms replaced, rendered once."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

from m3di import data
from m3di.errors import M3diError, UsageError
from m3di.generate import RenderOptions, render
from m3di.latents import intervene, permute_content
from m3di.render import Watch

Progress = Callable[[int, int], None]
PERMUTED = "permuted content"
LONGEST_NAME = 80


def render_twin(
    root: Path,
    *,
    interventions: tuple[str, ...] = (),
    permuted: bool = False,
    out: Path | None = None,
    n_workers: int | None = None,
    progress: Progress | None = None,
    watch: Watch | None = None,
) -> tuple[Path, str]:
    """Render val and test of a dataset once more in another world, or take what was rendered before.

    Sample i of the twin has the noise of sample i of the dataset, its size, quality and number of samples.

    Args:
        root: Folder of the dataset.
        interventions: Written FACTOR=VALUE.
        permuted: Give every view once more with the content of the neighbour, see `permute_content`.
        out: Folder of the twin; None takes `ROOT-do-...` beside the dataset.
        n_workers: Worker processes; None takes as many as `m3di render` does.
        progress: Called with images done and images in all.
        watch: Called with everything that happens in the workers.

    Returns:
        Its folder, and what to call it in results.

    Raises:
        UsageError: There is no such factor or value, or nothing was asked for.
        M3diError: The dataset was not rendered from its spec, or rendering failed.
    """
    if not interventions and not permuted:
        raise UsageError("no intervention is given", expected="--do FACTOR=VALUE or --permute-content")
    manifest = data.read_manifest(root)
    if manifest.source != "rendered":
        raise M3diError(
            "this dataset cannot be rendered in another world",
            where=str(root),
            got=f"{manifest.source} samples",
            expected="a dataset that `m3di render` made, whose noise is known",
            next_step="render the intervention yourself and give its folder with --data",
        )
    spec = intervene(manifest.parsed_spec, interventions)
    name = " ".join(f"do({each})" for each in interventions)
    if permuted:
        spec, name = permute_content(spec), f"{name} {PERMUTED}".strip()
    folder = out or root.with_name(f"{root.name}-{_slug(name)}")
    options = RenderOptions(
        out=folder,
        spec=spec,
        n_train=1,  # a dataset has a train split; nobody asks for this one
        n_val=manifest.n_samples.get("val", 0),
        n_test=manifest.n_samples.get("test", 0),
        seed=manifest.seed,
        size_px=int(manifest.render["size_px"]),
        quality=str(manifest.render["quality"]),
        gpu=manifest.render["device"] == "gpu",
        n_workers=n_workers,
    )
    render(options, progress, watch)
    return folder, name


def _slug(name: str) -> str:
    """A part of a file name; long ones end in a hash, so that two never meet."""
    slug = re.sub(r"[^A-Za-z0-9._]+", "-", name).strip("-")
    if len(slug) <= LONGEST_NAME:
        return slug
    return f"{slug[:LONGEST_NAME]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
