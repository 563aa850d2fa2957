"""Interventional twins of a rendered dataset: the same noise and camera, some mechanisms replaced, rendered once."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from m3di import data
from m3di.data.load.chosen import split_called
from m3di.errors import M3diError, UsageError
from m3di.generate.options import WorkerOptions, options_like, passes_of, refuse_image_options
from m3di.generate.plan import prepare_resolved
from m3di.generate.run import render_prepared
from m3di.generate.same_images import check_makers, shapes_as_noted
from m3di.generate.shards import Progress
from m3di.generate.split_sizes import first_split
from m3di.latents import Spec, intervene, permute_content
from m3di.render import Watch
from m3di.system.files import plain_name

if TYPE_CHECKING:
    from typing_extensions import Unpack

PERMUTED = "permuted content"
LONGEST_NAME = 80


def render_twin(
    root: Path,
    *,
    interventions: tuple[str, ...] = (),
    permuted: bool = False,
    split: str = "test",
    out: Path | None = None,
    progress: Progress | None = None,
    watch: Watch | None = None,
    **workers: Unpack[WorkerOptions],
) -> tuple[Path, str]:
    """Render val and test (or another split) of a dataset under interventions, or take what was rendered before.

    Sample i of the twin has the noise of sample i of the dataset, its size, quality, passes and number of samples.

    Args:
        root: Folder of the dataset.
        interventions: Written FACTOR=VALUE.
        permuted: Repeat every view with the content of the neighbour, see `permute_content`.
        split: The split that is rendered beside val.
        out: Folder of the twin; None takes `ROOT-do-...` beside the dataset.
        progress: Called with images done and images in all.
        watch: Called with everything that happens in the workers.
        **workers: Options of the workers; by default as for `render`.

    Returns:
        Its folder, and its name in results.

    Raises:
        UsageError: There is no such factor or value, no intervention is given, or options of workers where nothing is
            rendered.
        M3diError: The dataset was not rendered from its spec, or by other versions, meshes or a quality of other values
            than this machine has, Blender is missing, or rendering failed.
    """
    if not interventions and not permuted:
        raise UsageError("no intervention is given", expected="--do FACTOR=VALUE or --permute-content")
    manifest = _rendered_manifest(root)
    spec = intervene(manifest.parsed_spec, interventions)
    refuse_image_options(spec, workers)
    name = " ".join(f"do({each})" for each in interventions)
    if permuted:
        spec, name = permute_content(spec), f"{name} {PERMUTED}".strip()
    split = split_called(split, manifest.splits, str(root))
    name = name if split == "test" else f"{name} {split}"
    folder = out or root.with_name(f"{root.name}-{_slug(name)}")
    options = replace(
        options_like(manifest, folder, workers),
        spec=spec,
        **_sizes(manifest, spec, split),
        seed=manifest.seed,
    )
    if _was_begun_without_passes(folder):
        options = replace(options, passes=())
    # Both worlds show the same meshes: not one that was imported since under the name of a built-in shape.
    shapes = shapes_as_noted(root, manifest)
    render_prepared(prepare_resolved(spec, options.resolved(spec), shapes), progress, watch)
    return folder, name


def _rendered_manifest(root: Path) -> data.Manifest:
    manifest = data.read_manifest(root)
    if manifest.source != "rendered":
        raise M3diError(
            "this dataset cannot be rendered in another world",
            where=str(root),
            got=f"{manifest.source} samples",
            expected="a dataset that `m3di render` made, whose noise is known",
            next_step="render the intervention yourself and give its folder with --data",
        )
    check_makers(root, manifest)
    return manifest


def _sizes(manifest: data.Manifest, spec: Spec, split: str) -> dict[str, Any]:
    """Return the numbers of samples of a twin, as options: those of val and of one more split, as in the dataset."""
    wanted = {each: n if each in ("val", split) else 0 for each, n in manifest.n_samples.items()}
    wanted |= {each: 0 for each in spec.splits if each not in wanted}
    n_train = max(1, wanted.pop("train", 0))  # a dataset has a train split; one sample that is not used
    usual = {
        "n_train": n_train if first_split(spec.sizes) == "train" else None,
        "n_val": wanted.pop("val", 0),
        "n_test": wanted.pop("test", 0),
    }
    return {**usual, "n_of": tuple(f"{each}={n}" for each, n in wanted.items())}


def _was_begun_without_passes(root: Path) -> bool:
    """Whether a twin was begun by a version whose twins had no passes: it stays as it is."""
    folder = data.LocalFolder(root)
    names = folder.sizes()
    plan = data.plan_of(data.manifest_in(folder)) if data.MANIFEST in names else data.noted_plan(folder, names)
    return plan is not None and not passes_of(plan)


def _slug(name: str) -> str:
    """Make a part of a file name; a long one ends in a hash, so that no two are equal."""
    slug = plain_name(name)
    if len(slug) <= LONGEST_NAME:
        return slug
    return f"{slug[:LONGEST_NAME]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
