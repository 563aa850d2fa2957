"""Latents to images to shards: the only place that knows both halves."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from m3di import __version__, data
from m3di.errors import UsageError, near_match
from m3di.latents import SPLITS, Samples, Spec, captions, intervene, load_spec, plain_spec, sample
from m3di.render import (
    ANNOTATIONS,
    PASSES,
    QUALITIES,
    RenderJob,
    RenderPool,
    RenderSettings,
    UserShape,
    check_blender,
    default_n_workers,
    find_shapes,
    scene_values,
)

LATENTS = "latents"
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class RenderOptions:
    """What to render, and how.

    Attributes:
        out: Folder of the dataset.
        spec: Name of a built-in spec, path of a spec file, or a spec.
        n_train: Training samples; None takes the number that the spec gives.
        n_val: Validation samples; None takes 8 % of `n_train`, at least one.
        n_test: Test samples; likewise.
        seed: Seed of all noise streams.
        size_px: Side of the square images.
        quality: Name of a quality preset.
        n_workers: Worker processes; None takes one a core (one in all with `gpu`).
        shard_size: Samples of a shard.
        gpu: Render on the GPU; without one it is an error.
        interventions: Interventions on the spec, written FACTOR=VALUE.
        passes: Passes to write beside each image, out of `m3di.render.PASSES`.
    """

    out: Path
    spec: str | Spec = "m3di"
    n_train: int | None = None
    n_val: int | None = None
    n_test: int | None = None
    seed: int = 0
    size_px: int = 224
    quality: str = "standard"
    n_workers: int | None = None
    shard_size: int = 1000
    gpu: bool = False
    interventions: tuple[str, ...] = ()
    passes: tuple[str, ...] = ()

    def load_spec(self) -> Spec:
        """The spec, under the interventions.

        Raises:
            UsageError: There is no such spec, it is not valid, or an intervention does not fit it.
        """
        spec = self.spec if isinstance(self.spec, Spec) else load_spec(self.spec)
        return intervene(spec, self.interventions)

    def check(self) -> None:
        """Raise where a number is out of its range.

        Raises:
            UsageError: It names the option.
        """
        least = {"n_train": 1, "n_val": 0, "n_test": 0, "seed": 0, "size_px": 8, "n_workers": 1, "shard_size": 1}
        options = {"n_train": "--n", "size_px": "--size", "n_workers": "--workers"}
        for name, bound in least.items():
            value = getattr(self, name)
            if value is not None and value < bound:
                option = options.get(name, f"--{name.replace('_', '-')}")
                raise UsageError(f"{option} is too small", where=option, got=value, expected=f"{bound} or more")
        for name in self.passes:
            if name not in PASSES:
                near = near_match(name, PASSES)
                raise UsageError(
                    f"no pass is called {name!r}",
                    where="--passes",
                    expected=f"some of {','.join(PASSES)}",
                    next_step=f"did you mean {near!r}?" if near else None,
                )

    def resolved(self, spec: Spec) -> RenderOptions:
        """These options with every default filled in."""
        n_train = spec.splits.get("train", 0) if self.n_train is None else self.n_train
        scaled = max(1, round(0.08 * n_train))
        return replace(
            self,
            n_train=n_train,
            n_val=scaled if self.n_val is None else self.n_val,
            n_test=scaled if self.n_test is None else self.n_test,
            n_workers=self.n_workers or (1 if self.gpu else default_n_workers()),
        )


def render(options: RenderOptions, progress: Progress | None = None) -> data.Manifest:
    """Render a dataset, or what is missing of it: a finished shard is never rendered again.

    Args:
        options: What to render, and how.
        progress: Called with images done and images in all, at the start and after every image.

    Returns:
        The manifest of the finished dataset.

    Raises:
        UsageError: An option is out of range, or there is no such spec.
        M3diError: The folder holds something else or cannot be written, Blender or a GPU is missing, or an image
            failed. What was finished before is kept.
    """
    options.check()
    spec = options.load_spec()
    options = options.resolved(spec)
    yours = user_shapes_of(spec)
    check_blender()
    plan = make_plan(spec, options)
    data.check_folder(options.out, plan)
    if data.is_complete(options.out):
        return data.read_manifest(options.out)
    with RenderPool(render_settings(options, yours), options.n_workers or 1) as pool:
        pool.check()
        data.prepare_folder(options.out, plan)
        render_missing(spec, plan, options.out, pool, progress or (lambda done, total: None))
    return finish(options.out, spec, plan)


def render_settings(options: RenderOptions, user_shapes: tuple[UserShape, ...] = ()) -> RenderSettings:
    """What the workers need to know of the options; cores are shared out among the workers."""
    n_threads = max(1, default_n_workers() // (options.n_workers or 1))
    return RenderSettings(
        options.size_px,
        QUALITIES[options.quality],
        n_threads,
        options.gpu,
        user_shapes=user_shapes,
        passes=options.passes,
    )


def make_plan(spec: Spec, options: RenderOptions) -> data.Plan:
    """The plan of a dataset. Options that do not change its bytes (the number of workers) are no part of it."""
    images, texts = spec.views_of("image"), spec.views_of("text")
    extensions = {name: "png" if len(images) == 1 else f"{name}.png" for name in images}
    extensions |= {name: "txt" if len(texts) == 1 else f"{name}.txt" for name in texts}
    extensions |= {f"{name}.{each}": _pass_extension(images, name, each) for name in images for each in options.passes}
    tokenizers = {name: data.build_tokenizer(spec, name) for name in texts}
    return data.Plan(
        spec=plain_spec(spec),
        seed=options.seed,
        n_samples=dict(zip(SPLITS, (options.n_train or 0, options.n_val or 0, options.n_test or 0), strict=True)),
        shard_size=options.shard_size,
        extensions={**extensions, LATENTS: "json"},
        render={
            "size_px": options.size_px,
            "quality": options.quality,
            "device": "gpu" if options.gpu else "cpu",
            "m3di": __version__,
            "bpy": version("bpy"),
        },
        text={
            name: data.TextEntry(vocabulary=tokenizer.vocabulary, length=tokenizer.length)
            for name, tokenizer in tokenizers.items()
        },
        shapes={shape.name: shape.sha256 for shape in user_shapes_of(spec)},
    )


def _pass_extension(images: Mapping[str, Any], view: str, name: str) -> str:
    return PASSES[name] if len(images) == 1 else f"{view}.{PASSES[name]}"


def user_shapes_of(spec: Spec) -> tuple[UserShape, ...]:
    """The meshes of the user that a spec names.

    Raises:
        UsageError: The spec names a shape that there is not.
    """
    views = {name: view.shape for name, view in spec.views.items() if view.shape}
    fixed = [found for name, shape in views.items() for found in find_shapes((shape,), where=f"views.{name}.shape")]
    names = spec.factors["object_shape"].names if "object_shape" in spec.factors else ()
    drawn = find_shapes(names, where="factors.object_shape.values of the spec")
    return tuple(dict.fromkeys((*drawn, *fixed)))


def render_missing(spec: Spec, plan: data.Plan, out: Path, pool: RenderPool, progress: Progress) -> None:
    """Render and write every shard that is not there yet; an unfinished one is continued where it stops."""
    total = sum(plan.n_samples.values())
    done = count(1)
    progress(0, total)
    for split, start, n in shard_runs(plan):
        path = out / data.shard_name(split, start // plan.shard_size)
        if path.exists():
            for _ in range(n):
                progress(next(done), total)
            continue
        samples = sample(spec, split, n, seed=plan.seed, start=start)
        writer = data.ShardWriter(path, tuple(plan.extensions.values()))
        try:
            for _ in range(writer.n_samples):
                progress(next(done), total)
            for key, contents in _render_samples(samples, plan, pool, skip=writer.n_samples):
                writer.add(key, contents)
                progress(next(done), total)
            writer.finish()
        finally:
            writer.close()


def shard_runs(plan: data.Plan) -> Iterator[tuple[str, int, int]]:
    """Split, first sample and number of samples of each shard."""
    for split, n in plan.n_samples.items():
        for start in range(0, n, plan.shard_size):
            yield split, start, min(plan.shard_size, n - start)


def _render_samples(
    samples: Samples, plan: data.Plan, pool: RenderPool, *, skip: int
) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Key and files of each sample but the first `skip`."""
    spec = samples.spec
    images = list(spec.views_of("image"))
    texts = {name: captions(samples, name) for name in spec.views_of("text")}
    columns = samples.columns()
    rendered = pool.render(job for row in range(skip, samples.n) for job in jobs(samples, row))
    for row in range(skip, samples.n):
        shown = {name: next(rendered) for name in images}
        contents = {plan.extensions[name]: image.png for name, image in shown.items()}
        contents |= {plan.extensions[name]: texts[name][row].encode() for name in texts}
        for name, image in shown.items():
            contents |= {plan.extensions[f"{name}.{each}"]: content for each, content in image.passes.items()}
        annotations = {name: image.annotation for name, image in shown.items()}
        contents[plan.extensions[LATENTS]] = _latents_json(columns, row, annotations)
        yield data.sample_key(samples.start + row), contents


def jobs(samples: Samples, row: int) -> Iterator[RenderJob]:
    """One job for each image view of a sample."""
    for name, view in samples.spec.views_of("image").items():
        raw = {factor: values[row].item() for factor, values in samples.views[name].items()}
        key = data.sample_key(samples.start + row)
        yield RenderJob(f"{samples.split} {key}, view {name}", scene_values(samples.spec, view, raw))


def _latents_json(
    columns: dict[str, dict[str, NDArray[Any]]], row: int, annotations: dict[str, dict[str, int | float]]
) -> bytes:
    nested = {
        view: {name: getattr(values[row], "item", lambda v=values[row]: v)() for name, values in each.items()}
        | annotations.get(view, {})
        for view, each in columns.items()
    }
    return data.nested_json(nested)


def finish(out: Path, spec: Spec, plan: data.Plan) -> data.Manifest:
    """Write tables, documents and, last of all, the manifest of a folder whose shards are all there."""
    splits = {}
    for split, n in plan.n_samples.items():
        if n == 0:
            continue
        names = [data.shard_name(split, start // plan.shard_size) for start in range(0, n, plan.shard_size)]
        shards = [(name, list(data.read_shard(out / name))) for name in names]
        samples = sample(spec, split, n, seed=plan.seed)
        table = out / f"{split}.parquet"
        texts = {name: captions(samples, name) for name in spec.views_of("text")}
        # From the shards, not from memory: what an interrupted run rendered before is known from there only.
        seen = data.read_annotations(out, shards, plan.extensions[LATENTS], list(spec.views_of("image")), ANNOTATIONS)
        data.write_table(table, samples, texts, shards, seen)
        splits[split] = data.SplitEntry(
            n_samples=n,
            shards=tuple(data.file_entry(out / name, len(found)) for name, found in shards),
            table=data.file_entry(table, n),
        )
    return data.seal(out, plan, splits)


@dataclass(frozen=True)
class Preview:
    """Rendered samples to look at: for each image view, pixels [n, height, width, 3], uint8."""

    samples: Samples
    images: dict[str, NDArray[np.uint8]]
    captions: dict[str, list[str]]


def preview(options: RenderOptions, n: int, progress: Progress | None = None) -> Preview:
    """Render the first `n` training samples of a spec without writing anything.

    Raises:
        UsageError: An option is out of range, or there is no such spec.
        M3diError: Blender or a GPU is missing, or an image failed.
    """
    if n < 1:
        raise UsageError("--n is too small", where="--n", got=n, expected="1 or more")
    options.check()
    spec = options.load_spec()
    yours = user_shapes_of(spec)
    check_blender()
    options = options.resolved(spec)
    samples = sample(spec, "train", n, seed=options.seed)
    names = list(spec.views_of("image"))
    pixels: dict[str, list[NDArray[np.uint8]]] = {name: [] for name in names}
    with RenderPool(render_settings(options, yours), options.n_workers or 1) as pool:
        pool.check()
        rendered = pool.render(job for row in range(n) for job in jobs(samples, row))
        for row in range(n):
            for name in names:
                pixels[name].append(np.asarray(Image.open(io.BytesIO(next(rendered).png))))
            if progress:
                progress(row + 1, n)
    texts = {name: captions(samples, name) for name in spec.views_of("text")}
    return Preview(samples, {name: np.stack(each) for name, each in pixels.items()}, texts)
