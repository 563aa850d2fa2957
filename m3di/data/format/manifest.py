"""`dataset.json`: what a dataset is, and which files its folder must have. It is written last, once all is there."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from m3di.data.format.entries import FileEntry, SplitEntry, StrictEntry, TextEntry
from m3di.data.format.json_differences import json_differences
from m3di.data.format.limits import MAX_MANIFEST_BYTES
from m3di.data.format.plain_names import (
    Count,
    Day,
    Extension,
    PartName,
    Printed,
    Seed,
    Sha256,
    ShapeName,
    SplitName,
    check_render,
)
from m3di.data.format.shards import BLOCK, shard_name
from m3di.data.storage.places import Folder, LocalFolder
from m3di.errors import DataError, M3diError
from m3di.latents import ANNOTATIONS, LATENTS, LATER_ANNOTATIONS, SPLITS, Spec, spec_from_dict
from m3di.system.files import PARTIAL, write_atomically

MANIFEST = "dataset.json"
PLAN = f"plan.json{PARTIAL}"  # the plan of an unfinished dataset
PlanType = TypeVar("PlanType", bound="Plan")


class Plan(StrictEntry):
    """What decides the content of a dataset: equal plans give equal bytes.

    Attributes:
        format: Name and version of the layout on disk.
        spec: The resolved spec.
        seed: Seed of all noise streams; of a joined dataset, that of the first one.
        n_samples: Samples of each split.
        shard_size: Samples of each shard but the last.
        extensions: Files of each sample, by extension: one a view, and the latents.
        render: Image size and sampling settings, and the versions that decide pixels.
        text: Tokens of each text view.
        shapes: Meshes of the user that the images may show, and the SHA-256 of each.
        source: Where the samples come from. `rendered`: sample i of a split is (spec, seed, split, i). `derived`: cut
            or joined from such datasets; the table says which sample each row was (`origin_*`). `imported`: read from
            the published layout; latents and captions are what its files say.
        seeds: The seeds of datasets that were joined, where they differ; else empty, and not written.
        annotations: Names of the annotations of each rendered image; empty, and not written, in old datasets.
    """

    format: Literal["m3di-1"] = "m3di-1"
    spec: dict[str, Any]
    seed: Seed
    n_samples: dict[SplitName, Count]
    shard_size: int = Field(ge=1)
    extensions: dict[PartName, Extension]
    render: dict[str, Any]
    text: dict[PartName, TextEntry]
    shapes: dict[ShapeName, Sha256] = Field(default_factory=dict)
    source: Literal["rendered", "derived", "imported"] = "rendered"
    seeds: tuple[Seed, ...] = ()
    annotations: tuple[str, ...] = ()

    @field_validator("extensions")
    @classmethod
    def _files_differ(cls, extensions: dict[str, str]) -> dict[str, str]:
        if len(set(extensions.values())) < len(extensions):
            raise ValueError("two files of a sample have one extension")
        if LATENTS not in extensions:
            raise ValueError(f"the extension of {LATENTS!r} is missing")
        return extensions

    @model_validator(mode="after")
    def _settings_are_sound(self) -> Plan:
        check_render(self.render, imported=self.source == "imported")
        return self

    @model_serializer(mode="wrap")
    def _without_what_is_empty(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out the keys that are empty, such as `seeds` and `devices`."""
        dumped: dict[str, Any] = handler(self)
        may_lack = ("seeds", "annotations", "devices", "created")
        return {name: value for name, value in dumped.items() if name not in may_lack or value}

    @property
    def all_seeds(self) -> tuple[int, ...]:
        """All seeds of its samples."""
        return self.seeds or (self.seed,)

    @property
    def noted(self) -> dict[str, type]:
        """Names and types of the annotations of each rendered image."""
        names = self.annotations or tuple(name for name in ANNOTATIONS if name not in LATER_ANNOTATIONS)
        return {name: kind for name, kind in ANNOTATIONS.items() if name in names}

    def differences(self, other: Plan) -> list[str]:
        """List where two plans differ: `place: this | other`, one line a place."""
        return json_differences(self.model_dump(mode="json"), other.model_dump(mode="json"))


class Manifest(Plan):
    """A plan, and its files.

    Attributes:
        splits: Shards and table of each split.
        documents: Card, Croissant file and sample picture.
        devices: GPUs that rendered it, each with back end and driver; none for the CPU, or if unknown. They are no part
            of its identity: another card may continue it.
        created: Day (UTC) on which the first run began; of a dataset cut or joined from others, the latest of theirs.
            Recorded once, and no part of its identity. Empty, and not written, in old datasets.
        checksum: SHA-256 of this manifest with an empty checksum.
    """

    splits: dict[SplitName, SplitEntry]
    documents: tuple[FileEntry, ...] = ()
    devices: tuple[Printed, ...] = ()
    created: Day | Literal[""] = ""
    checksum: Sha256 | Literal[""] = ""

    @model_validator(mode="after")
    def _files_are_those_of_the_plan(self) -> Manifest:
        if not {split for split, n in self.n_samples.items() if n} <= set(self.splits) <= set(self.n_samples):
            raise ValueError(f"splits {', '.join(self.splits)}, and n_samples of {', '.join(self.n_samples)}")
        for split, entry in self.splits.items():
            if entry.n_samples != self.n_samples[split]:
                raise ValueError(
                    f"the shards of {split} hold {entry.n_samples} samples, expected {self.n_samples[split]}"
                )
            self._check_shards(split, entry)
        names = [MANIFEST, *(entry.file for entry in self.files)]
        twice = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
        if twice is not None:
            raise ValueError(f"two files are called {twice}")
        return self

    def _check_shards(self, split: str, entry: SplitEntry) -> None:
        """Check that the shards are those of the plan: a repair renders them by these names and counts."""
        n_shards = -(-entry.n_samples // self.shard_size)
        if len(entry.shards) != n_shards:
            raise ValueError(
                f"{split} has {len(entry.shards)} shards, expected {n_shards} of {self.shard_size} samples each"
            )
        for number, shard in enumerate(entry.shards):
            name, n = shard_name(split, number), min(self.shard_size, entry.n_samples - number * self.shard_size)
            if (shard.file, shard.n_samples) != (name, n):
                found = f"{shard.file} with {shard.n_samples} samples"
                raise ValueError(f"shard {number} of {split} is {found}, expected {name} with {n}")
            if n * len(self.extensions) * BLOCK > shard.n_bytes:
                raise ValueError(
                    f"{shard.file}: {n} samples of {len(self.extensions)} files do not fit in {shard.n_bytes} bytes"
                )

    @property
    def files(self) -> list[FileEntry]:
        """All files of the dataset except the manifest."""
        shards = [entry for split in self.splits.values() for entry in (*split.shards, split.table)]
        return [*shards, *self.documents]

    @property
    def parsed_spec(self) -> Spec:
        """The spec as an object."""
        return spec_from_dict(self.spec, where=MANIFEST, stored=True)

    @property
    def fingerprint(self) -> str:
        """Identity of the data: equal for equal bytes in all shards and tables."""
        data = self.model_copy(update={"documents": (), "devices": (), "created": "", "checksum": ""})
        return hashlib.sha256(to_json(data)).hexdigest()

    def sealed(self) -> Manifest:
        """Return the manifest with its checksum."""
        blank = self.model_copy(update={"checksum": ""})
        return blank.model_copy(update={"checksum": hashlib.sha256(to_json(blank)).hexdigest()})


def to_json(model: BaseModel) -> bytes:
    """Write canonical JSON: equal models give equal bytes."""
    return (json.dumps(model.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n").encode()


def write_manifest(root: Path, manifest: Manifest) -> None:
    """Write `dataset.json` with its checksum; this completes the dataset."""
    write_atomically(root / MANIFEST, to_json(manifest.sealed()))


def read_manifest(root: Path) -> Manifest:
    """Read the manifest of a dataset.

    Raises:
        M3diError: There is none, or it is no valid manifest.
    """
    folder = LocalFolder(root)
    if not folder.exists(MANIFEST):
        raise no_dataset(folder)
    return manifest_in(folder)


def manifest_in(folder: Folder) -> Manifest:
    """Read the manifest in a folder or at a URL.

    Raises:
        M3diError: It is no valid manifest, or larger than any.
    """
    n_bytes = folder.size(MANIFEST)
    if n_bytes > MAX_MANIFEST_BYTES:
        raise M3diError(
            "the file is no valid m3di manifest",
            where=folder.path(MANIFEST),
            got=f"{n_bytes} bytes",
            expected=f"at most {MAX_MANIFEST_BYTES}",
            next_step="restore it from a copy, or render into another folder",
        )
    return parse_manifest(folder.read(MANIFEST), folder.path(MANIFEST))


def plugins_in(root: Path) -> dict[str, str]:
    """Read the plugins of a dataset as texts by name, even if its spec cannot be read without them.

    Raises:
        M3diError: There is no dataset, or its manifest is damaged.
    """
    found = _validated(Manifest, LocalFolder(root).read(MANIFEST), str(root / MANIFEST)).spec.get("plugins", {})
    if not isinstance(found, dict) or not all(isinstance(each, str) for each in found.values()):
        raise _invalid(f"{root / MANIFEST}: spec.plugins", "no texts by name")
    return found


def _nearby(root: Path) -> str:
    """Name datasets that lie in a folder."""
    found = sorted(path.parent for path in root.glob(f"[!.]*/{MANIFEST}"))[:3]
    return f"did you mean {' or '.join(map(str, found))}?" if found else ""


def no_dataset(folder: Folder) -> M3diError:
    """Make the error for a folder without a dataset; it lists what is there, and a dataset nearby."""
    got, next_step = f"no {MANIFEST}", "check the path; for a small dataset at once:  m3di example data/example"
    root = folder.root if isinstance(folder, LocalFolder) else None
    if folder.exists(PLAN):
        got = "an unfinished run"
        next_step = "run the command that began it once more: it continues; or render the parts that are missing"
    elif root is not None and root.is_file():
        got, next_step = "a file", f"give the folder that it lies in: {root.parent}"
    elif root is not None and not root.exists():
        got = "nothing" + (" (a link that leads nowhere)" if root.is_symlink() else "")
        next_step = _nearby(root.parent) or next_step
    elif root is not None:
        next_step = _nearby(root) or next_step
    return DataError(
        "there is no m3di dataset here",
        where=str(folder),
        got=got,
        expected=f"a folder with a {MANIFEST}, as finished datasets have; or one with SPLIT/latents_image.csv",
        next_step=next_step,
    )


def parse_manifest(raw: bytes, where: str) -> Manifest:
    """Read a manifest from the bytes of a `dataset.json`.

    Raises:
        M3diError: It is no valid manifest.
    """
    return parse_as(Manifest, raw, where)


def finished_manifest(folder: Folder) -> Manifest | None:
    """Read the manifest of a folder; None unless all files that it names are there with their sizes.

    Raises:
        M3diError: The manifest is damaged, or the storage failed.
    """
    sizes = folder.sizes()
    if MANIFEST not in sizes:
        return None
    manifest = manifest_in(folder)
    return manifest if all(sizes.get(entry.file) == entry.n_bytes for entry in manifest.files) else None


def plan_of(manifest: Plan) -> Plan:
    """Return the plan alone, as of a finished dataset."""
    return Plan.model_validate(manifest.model_dump(include=set(Plan.model_fields)))


def parse_plan(raw: bytes, where: str) -> Plan:
    """Read a plan from the bytes of a file.

    Raises:
        M3diError: It is no valid plan.
    """
    return parse_as(Plan, raw, where)


def parse_as(kind: type[PlanType], raw: bytes, where: str) -> PlanType:
    """Read a plan of a kind from the bytes of a file.

    Raises:
        M3diError: It is no valid one.
    """
    plan = _validated(kind, raw, where)
    _check_views(plan, where)
    return plan


def _validated(kind: type[PlanType], raw: bytes, where: str) -> PlanType:
    try:
        return kind.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "top"
        raise _invalid(f"{where}: {place[:200]}", first["msg"].removeprefix("Value error, ")) from None


def _check_views(plan: Plan, where: str) -> None:
    """Check that every view of the spec has its file, and every text view its tokens."""
    spec = spec_from_dict(plan.spec, where=where, stored=True)
    expected = {"extensions": set(spec.observed), "text": set(spec.told)}
    for place, views in expected.items():
        missing = sorted(views - set(getattr(plan, place)))
        if missing:
            raise _invalid(f"{where}: {place}", f"nothing of the view {missing[0]!r} of its spec")
    strange = sorted(set(plan.n_samples) - {*SPLITS, *spec.splits})
    if strange:
        raise _invalid(f"{where}: n_samples", f"{strange[0]!r}, which is no split of its spec")
    unknown = sorted(set(plan.text) - expected["text"])
    if unknown:
        raise _invalid(f"{where}: text", f"{unknown[0]!r}, which is no text view of its spec")


def _invalid(where: str, got: str) -> M3diError:
    return DataError(
        "the file is no valid m3di manifest",
        where=where,
        got=got,
        next_step="restore it from a copy, or render into another folder",
    )
