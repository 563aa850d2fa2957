"""The plan of a dataset: what decides its bytes, and which shards it consists of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, NamedTuple

from m3di import __version__, data
from m3di.generate.options import RenderOptions, refuse_image_options
from m3di.generate.split_sizes import asked_sizes
from m3di.latents import ANNOTATIONS, LATENTS, SPLITS, Spec, captions, plain_spec, sample, shapes_shown
from m3di.render import PASSES, UserShape, check_blender, find_shapes, quality_digest

QUALITY_DIGEST = "quality_sha256"
N_CHECKED = 10_000
"""Samples whose texts are looked for at once."""


class Prepared(NamedTuple):
    """The result of `prepare`."""

    spec: Spec
    options: RenderOptions
    user_shapes: tuple[UserShape, ...]
    plan: data.Plan


def prepare(options: RenderOptions) -> Prepared:
    """Return the spec under its interventions, the options with all defaults, the user's meshes, and the plan.

    Raises:
        UsageError: An option is out of range or makes no sense for the spec, or there is no such spec or shape.
        M3diError: Blender is not installed.
    """
    return prepare_resolved(*resolve(options))


def prepare_resolved(spec: Spec, options: RenderOptions, user_shapes: tuple[UserShape, ...]) -> Prepared:
    """Return the same for options with all defaults, and the meshes that images show.

    Raises:
        UsageError: A sample has no text.
    """
    plan = make_plan(spec, options, user_shapes)
    _check_texts(spec, plan)
    return Prepared(spec, options, user_shapes, plan)


def _check_texts(spec: Spec, plan: data.Plan) -> None:
    """Look for the text of every sample before the first one is rendered."""
    views = [name for name, view in spec.told.items() if view.texts is not None]
    for split, n in plan.n_samples.items() if views else ():
        for start in range(0, n, N_CHECKED):
            drawn = sample(spec, split, min(N_CHECKED, n - start), seed=plan.seed, start=start)
            for view in views:
                captions(drawn, view)


def resolve(options: RenderOptions) -> tuple[Spec, RenderOptions, tuple[UserShape, ...]]:
    """Return the same without the plan, for images that are not written."""
    spec = options.load_spec()
    resolved = options.resolved(spec)
    user_shapes = user_shapes_of(spec)
    refuse_image_options(spec, vars(options))
    if spec.rendered:
        check_blender()
    return spec, resolved, user_shapes


def make_plan(spec: Spec, options: RenderOptions, user_shapes: Sequence[UserShape] | None = None) -> data.Plan:
    """Make the plan of a dataset. It has no options that leave the bytes alone (the number of workers).

    Args:
        spec: The spec.
        options: What to render, and how.
        user_shapes: The user's meshes that the spec names; None looks for them, and hashes each.

    Raises:
        UsageError: The spec names a shape that does not exist.
    """
    user_shapes = user_shapes_of(spec) if user_shapes is None else user_shapes
    images = spec.rendered
    extensions = {name: _extension(spec, name) for name in (*images, *spec.told, *spec.made)}
    passes = [each for each in PASSES if each in options.passes]  # equal plans give equal bytes
    extensions |= {f"{name}.{each}": _pass_extension(images, name, each) for name in images for each in passes}
    tokenizers = {name: data.build_tokenizer(spec, name) for name in spec.told}
    return data.Plan(
        spec=plain_spec(spec),
        seed=options.seed,
        n_samples=_n_samples(spec, options),
        shard_size=options.shard_size,
        extensions={**extensions, LATENTS: "json"},
        render={
            "size_px": options.size_px,
            "quality": options.quality,
            "device": "gpu" if options.gpu else "cpu",
            **makers(spec, options.quality),
        },
        text={
            name: data.TextEntry(vocabulary=tokenizer.vocabulary, length=tokenizer.length)
            for name, tokenizer in tokenizers.items()
        },
        shapes={shape.name: shape.sha256 for shape in user_shapes},
        annotations=tuple(ANNOTATIONS),
    )


def _n_samples(spec: Spec, options: RenderOptions) -> dict[str, int]:
    """Return the samples of each split, the usual splits first."""
    usual = dict(zip(SPLITS, (options.n_train or 0, options.n_val or 0, options.n_test or 0), strict=True))
    return {split: n for split, n in usual.items() if n or split in spec.splits} | asked_sizes(options.n_of)


def makers(spec: Spec, quality: str) -> dict[str, str]:
    """Return what this machine makes images with, as the plan notes it: versions, and the digest of a quality that is
    not m3di's own.

    Raises:
        UsageError: There is no such quality.
        M3diError: The spec shows images, and Blender is missing.
    """
    if not spec.rendered:
        return {"m3di": __version__, "bpy": "none"}
    check_blender()
    found, digest = {"m3di": __version__, "bpy": version("bpy")}, quality_digest(quality)
    return {**found, QUALITY_DIGEST: digest} if digest else found


def noted_makers(plan: data.Plan) -> dict[str, str]:
    """Return what the images of a dataset were made with, as its plan notes it."""
    return {name: str(plan.render[name]) for name in ("m3di", "bpy", QUALITY_DIGEST) if name in plan.render}


def _extension(spec: Spec, view: str) -> str:
    """Return the ending of a view's files; the view's name comes first if several views share the modality."""
    kind = spec.observed[view].view.kind
    alone = sum(each.view.kind is kind for each in spec.observed.values()) == 1
    return kind.extension if alone else f"{view}.{kind.extension}"


def _pass_extension(images: Mapping[str, Any], view: str, name: str) -> str:
    return PASSES[name] if len(images) == 1 else f"{view}.{PASSES[name]}"


def user_shapes_of(spec: Spec) -> tuple[UserShape, ...]:
    """Return the user's meshes that a spec names.

    Raises:
        UsageError: The spec names a shape that does not exist.
    """
    shown = {name: place for each in (*spec.variants.values(), spec.base) for name, place in shapes_shown(each).items()}
    found = [
        shape
        for name, place in shown.items()
        for shape in find_shapes((name,), where=f"{'.'.join(map(str, place))} of the spec")
    ]
    return tuple(sorted(found, key=lambda shape: shape.name))


@dataclass(frozen=True)
class Shard:
    """A shard of a dataset: `n` samples of a split from `start` on."""

    split: str
    number: int
    start: int
    n: int

    @property
    def name(self) -> str:
        """Its file name."""
        return data.shard_name(self.split, self.number)

    @property
    def keys(self) -> list[str]:
        """Keys of its samples."""
        return [data.sample_key(self.start + row) for row in range(self.n)]


def shards_of(plan: data.Plan) -> Iterator[Shard]:
    """Yield all shards of a dataset, in order."""
    for split, n in plan.n_samples.items():
        for number, start in enumerate(range(0, n, plan.shard_size)):
            yield Shard(split, number, start, min(plan.shard_size, n - start))
