"""The options of `m3di render`, and what follows from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

from pydantic import Field
from pydantic.dataclasses import dataclass

from m3di.data.format.limits import MAX_SAMPLES, MAX_SEED, MAX_SIZE_PX
from m3di.errors import UsageError, check_word
from m3di.generate.split_sizes import asked_sizes, split_sizes
from m3di.render import GPU_BACKENDS, LEAST_SIZE_PX, PASSES, QUALITIES, default_n_workers
from m3di.system.settings import STRICT, Count, Finite, OneOf, Option, TextOr, Whole, explained, settings_of

if TYPE_CHECKING:
    from m3di import data
    from m3di.latents import Spec
    from m3di.render import WorkerLimits

    SpecOrName = str | Spec
else:  # `m3di render --help` waits for no NumPy
    SpecOrName = Annotated[Any, TextOr("m3di.latents:Spec")]
DEFAULT_SIZE = "what the spec says; with --n, 8 % of the training samples, at least one"
BACKENDS = [name.lower() for name in GPU_BACKENDS]


class WorkerOptions(TypedDict, total=False):
    """The fields of `RenderOptions` that change no byte of a dataset; a repair can choose them too."""

    n_workers: int | None
    gpu_devices: tuple[int, ...]
    gpu_backend: str | None
    worker_memory_gb: float
    image_timeout_s: float


IMAGE_OPTIONS = ("size_px", "quality", "gpu", "passes", *WorkerOptions.__annotations__)
"""Fields of `RenderOptions` that say how images are rendered."""


@explained(by_option=True)
@dataclass(frozen=True, config=STRICT)
class RenderOptions:
    """What to render, and how.

    Raises:
        UsageError: A value is out of range, or a choice among GPUs is made without `gpu`.
    """

    out: Annotated[Path | str, "Folder or URL of the dataset.", Option(offered=False)]
    spec: Annotated[SpecOrName, "Name of a built-in spec, or a .yaml file."] = "m3di"
    n_train: Annotated[
        int | None, Field(ge=1, le=MAX_SAMPLES), "Training samples.", Option("--n", default="what the spec says")
    ] = None
    n_val: Annotated[int | None, Field(ge=0, le=MAX_SAMPLES), "Validation samples.", Option(default=DEFAULT_SIZE)] = (
        None
    )
    n_test: Annotated[int | None, Field(ge=0, le=MAX_SAMPLES), "Test samples.", Option(default=DEFAULT_SIZE)] = None
    n_of: Annotated[
        tuple[str, ...],
        "Samples of another split of the spec.",
        Option("--n-of", metavar="SPLIT=N", repeated=True, default="what the spec says, in proportion to --n"),
    ] = ()
    seed: Annotated[int, Field(ge=0, le=MAX_SEED), "Seed of all noise streams."] = 0
    size_px: Annotated[
        int, Field(ge=LEAST_SIZE_PX, le=MAX_SIZE_PX), "Side of the square images in pixels.", Option("--size")
    ] = 224
    quality: Annotated[str, OneOf(QUALITIES), "How images are sampled."] = "standard"
    n_workers: Annotated[
        Count | None, "Worker processes.", Option("--workers", default="one a core; up to eight a GPU")
    ] = None
    shard_size: Annotated[Count, "Samples of a shard."] = 1000
    gpu: Annotated[bool, "Render on every GPU of the best back end with one; without one it is an error."] = False
    interventions: Annotated[
        tuple[str, ...],
        "Intervene: a value, a mechanism such as uniform, or a mapping such as '{strength: 0.5}'.",
        Option("--do", metavar="FACTOR=VALUE", repeated=True),
    ] = ()
    passes: Annotated[
        tuple[Annotated[str, OneOf(PASSES)], ...],
        f"Further files beside each image: some of {','.join(PASSES)}.",
        Option(metavar="NAMES", noun="pass"),
    ] = ()
    gpu_devices: Annotated[
        tuple[Whole, ...], "Only on these GPUs, such as 0,2.", Option(metavar="NUMBERS", such_as="0,2")
    ] = ()
    gpu_backend: Annotated[
        str | None,
        "How to reach the GPUs.",
        Option(metavar=f"[{'|'.join(BACKENDS)}]", default="the first of these that has one"),
    ] = None
    worker_memory_gb: Annotated[
        Finite,
        Field(ge=0.1),
        "Replace a worker that holds more memory after an image, in GB.",
        Option("--worker-memory"),
    ] = 4.0
    image_timeout_s: Annotated[
        Finite, Field(ge=1), "An image that takes longer has failed, in seconds.", Option("--image-timeout")
    ] = 600.0

    def __post_init__(self) -> None:
        chosen = {"gpu_devices": ",".join(map(str, self.gpu_devices)), "gpu_backend": self.gpu_backend}
        for name, value in chosen.items():
            if value and not self.gpu:
                raise UsageError(
                    f"--{name.replace('_', '-')} chooses among GPUs, and rendering is on the CPU",
                    where=name,
                    got=value,
                    next_step="add --gpu",
                )
        if self.gpu_backend:
            check_word(self.gpu_backend.upper(), GPU_BACKENDS, what="GPU back end")

    @property
    def limits(self) -> WorkerLimits:
        """The limits at which a worker is replaced."""
        from m3di.render import GB, WorkerLimits

        return WorkerLimits(memory_bytes=round(self.worker_memory_gb * GB), image_timeout_s=self.image_timeout_s)

    def load_spec(self) -> Spec:
        """Load the spec and apply the interventions.

        Raises:
            UsageError: There is no such spec, it is not valid, or an intervention does not fit it.
        """
        from m3di.latents import intervene, load_spec

        spec = load_spec(self.spec) if isinstance(self.spec, str) else self.spec
        return intervene(spec, self.interventions)

    def resolved(self, spec: Spec) -> RenderOptions:
        """Return these options with every default filled in."""
        sizes = split_sizes(spec.sizes, self.n_train, {"val": self.n_val, "test": self.n_test}, asked_sizes(self.n_of))
        return replace(
            self,
            n_train=sizes.pop("train", 0) or None,
            n_val=sizes.pop("val", 0),
            n_test=sizes.pop("test", 0),
            n_of=tuple(f"{split}={n}" for split, n in sizes.items()),
            n_workers=self.n_workers or (None if self.gpu else default_n_workers()),
        )


def refuse_image_options(spec: Spec, given: Mapping[str, Any]) -> None:
    """Refuse options about images where a spec shows none.

    Args:
        spec: The spec.
        given: Options by field. Those that are None or the default of their field say nothing, and are no error.

    Raises:
        UsageError: One is given, and would have no effect.
    """
    settings = settings_of(RenderOptions)
    names = [settings[name].shown for name in IMAGE_OPTIONS if given.get(name) not in (None, settings[name].default)]
    if names and not spec.rendered:
        raise UsageError(
            f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} about images, and this spec shows none",
            where=names[0],
            got=f"the spec {spec.name!r}, whose views are {', '.join(spec.observed)}",
            next_step=f"leave {' and '.join(names)} out",
        )


def options_like(manifest: data.Manifest, out: Path, workers: WorkerOptions) -> RenderOptions:
    """Return options with the size, quality, device and passes of a dataset.

    Args:
        manifest: The manifest of the dataset.
        out: Folder of the new images.
        workers: Options of the workers.

    Raises:
        UsageError: A GPU is chosen, and the dataset was rendered on the CPU.
    """
    from m3di.data import plan_of

    gpu = manifest.render["device"] == "gpu"
    for name, value in (("gpu_devices", workers.get("gpu_devices")), ("gpu_backend", workers.get("gpu_backend"))):
        if value and not gpu:
            raise UsageError(
                "this dataset was rendered on the CPU, and so are more of its images",
                where=f"--{name.replace('_', '-')}",
                got=value,
                next_step="leave it out",
            )
    return RenderOptions(
        out=out,
        size_px=int(manifest.render["size_px"]),
        quality=str(manifest.render["quality"]),
        gpu=gpu,
        passes=passes_of(plan_of(manifest)),
        **workers,
    )


def passes_of(plan: data.Plan) -> tuple[str, ...]:
    """Return the names of the passes beside each image of a dataset."""
    parts = (name.rpartition(".")[2] for name in plan.extensions if "." in name)
    return tuple(dict.fromkeys(name for name in parts if name in PASSES))
