"""`dataset.json`: what a dataset is, and what must be in its folder. Written last; what has one is complete."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
)

from m3di.data.shards import PARTIAL, write_atomically
from m3di.data.storage import Folder, LocalFolder
from m3di.data.tokens import Tokenizer
from m3di.errors import M3diError
from m3di.latents import ANNOTATIONS, LATER_ANNOTATIONS, Spec, spec_from_dict

MANIFEST = "dataset.json"
PLAN = f"plan.json{PARTIAL}"  # what an unfinished dataset is going to be


class Strict(BaseModel):
    """Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FileEntry(Strict):
    """A file of the dataset; `n_samples` is 0 where it is neither a shard nor a table."""

    file: str
    n_bytes: int
    sha256: str
    n_samples: int = 0

    @field_validator("file")
    @classmethod
    def _is_plain(cls, name: str) -> str:
        """A name that leads out of the folder would be read, and by a repair removed."""
        if not name or name in (".", "..") or set(name) & set("/\\\0"):
            raise ValueError(f"{name!r} is no plain file name")
        return name


class SplitEntry(Strict):
    """The shards of a split in order, and its table."""

    n_samples: int
    shards: tuple[FileEntry, ...]
    table: FileEntry


class TextEntry(Strict):
    """The tokens of a text view, see `Tokenizer`."""

    vocabulary: tuple[str, ...]
    length: int
    quoted: Literal["words", "unit"] = "words"

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer of this vocabulary."""
        return Tokenizer(self.vocabulary, self.length, self.quoted)


class Plan(Strict):
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
        annotations: Names of what is noted of each rendered image; empty, and not written, where that was not yet said.
    """

    format: Literal["m3di-1"] = "m3di-1"
    spec: dict[str, Any]
    seed: int
    n_samples: dict[str, int]
    shard_size: int
    extensions: dict[str, str]
    render: dict[str, Any]
    text: dict[str, TextEntry]
    shapes: dict[str, str] = {}
    source: Literal["rendered", "derived", "imported"] = "rendered"
    seeds: tuple[int, ...] = ()
    annotations: tuple[str, ...] = ()

    @model_serializer(mode="wrap")
    def _without_what_is_empty(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A dataset of one seed, or from the CPU, has no such key."""
        dumped: dict[str, Any] = handler(self)
        may_lack = ("seeds", "annotations", "devices")
        return {name: value for name, value in dumped.items() if name not in may_lack or value}

    @property
    def all_seeds(self) -> tuple[int, ...]:
        """Every seed that its samples come from."""
        return self.seeds or (self.seed,)

    @property
    def noted(self) -> dict[str, type]:
        """Names and types of what is noted of each rendered image."""
        names = self.annotations or tuple(name for name in ANNOTATIONS if name not in LATER_ANNOTATIONS)
        return {name: kind for name, kind in ANNOTATIONS.items() if name in names}

    def differences(self, other: Plan) -> list[str]:
        """Where two plans differ: `place: this | other`, one line a place."""
        return _differences(self.model_dump(mode="json"), other.model_dump(mode="json"), "")


class Manifest(Plan):
    """A plan, and the files that came of it.

    Attributes:
        splits: Shards and table of each split.
        documents: Card, Croissant file and sample picture.
        devices: GPUs that have rendered it, each with back end and driver; none for the CPU, or where nobody knows. No
            part of what a dataset is: another card may continue it.
        checksum: SHA-256 of this manifest with an empty checksum.
    """

    splits: dict[str, SplitEntry]
    documents: tuple[FileEntry, ...] = ()
    devices: tuple[str, ...] = ()
    checksum: str = ""

    @property
    def files(self) -> list[FileEntry]:
        """Every file of the dataset but the manifest."""
        shards = [entry for split in self.splits.values() for entry in (*split.shards, split.table)]
        return [*shards, *self.documents]

    @property
    def parsed_spec(self) -> Spec:
        """The spec as an object."""
        return spec_from_dict(self.spec, where=MANIFEST, stored=True)

    @property
    def fingerprint(self) -> str:
        """Identity of the data: equal for equal bytes in all shards and tables."""
        return hashlib.sha256(
            to_json(self.model_copy(update={"documents": (), "devices": (), "checksum": ""}))
        ).hexdigest()

    def sealed(self) -> Manifest:
        """The manifest with its checksum filled in."""
        blank = self.model_copy(update={"checksum": ""})
        return blank.model_copy(update={"checksum": hashlib.sha256(to_json(blank)).hexdigest()})


def _differences(one: Any, other: Any, place: str) -> list[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        return [
            line
            for key in sorted({*one, *other})
            for line in _differences(one.get(key), other.get(key), f"{place}.{key}".lstrip("."))
        ]
    return [] if one == other else [f"{place}: {_short(one)} | {_short(other)}"]


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def to_json(model: BaseModel) -> bytes:
    """Canonical JSON: the same model gives the same bytes."""
    return (json.dumps(model.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n").encode()


def write_manifest(root: Path, manifest: Manifest) -> None:
    """Write `dataset.json`, with its checksum: from here on the dataset is complete."""
    write_atomically(root / MANIFEST, to_json(manifest.sealed()))
    plan_path(root).unlink(missing_ok=True)


def read_manifest(root: Path) -> Manifest:
    """The manifest of a dataset.

    Raises:
        M3diError: There is none, or it is no valid manifest.
    """
    path = root / MANIFEST
    if not path.is_file():
        raise no_dataset(LocalFolder(root))
    return parse_manifest(path.read_bytes(), str(path))


def no_dataset(folder: Folder) -> M3diError:
    """The error where a folder holds no dataset; it says what is there, and where near it one is."""
    got, next_step = f"no {MANIFEST}", "check the path"
    root = folder.root if isinstance(folder, LocalFolder) else None
    if folder.exists(PLAN):
        got = "an unfinished run"
        next_step = "run the command that began it once more: it continues; or render the parts that are missing"
    elif root is not None and root.is_file():
        got, next_step = "a file", f"give the folder that it lies in: {root.parent}"
    elif root is not None and not root.exists():
        got = "nothing" + (" (a link that leads nowhere)" if root.is_symlink() else "")
    elif root is not None:
        below = sorted(path.parent for path in root.glob(f"*/{MANIFEST}"))[:3]
        next_step = f"did you mean {' or '.join(map(str, below))}?" if below else next_step
    return M3diError(
        "there is no m3di dataset here",
        where=str(folder),
        got=got,
        expected=f"a folder with a {MANIFEST}, as finished datasets have; or one with SPLIT/latents_image.csv",
        next_step=next_step,
    )


def parse_manifest(raw: bytes, where: str) -> Manifest:
    """The manifest in the bytes of a `dataset.json`.

    Raises:
        M3diError: It is no valid manifest.
    """
    manifest: Manifest = _parse(Manifest, raw, where)
    return manifest


def is_complete(root: Path) -> bool:
    """Whether a folder has a manifest and every file that it names, by size."""
    if not (root / MANIFEST).is_file():
        return False
    paths = [(root / entry.file, entry.n_bytes) for entry in read_manifest(root).files]
    return all(path.is_file() and path.stat().st_size == n_bytes for path, n_bytes in paths)


def plan_of(manifest: Manifest) -> Plan:
    """The plan that a finished dataset was made by."""
    return Plan.model_validate(manifest.model_dump(include=set(Plan.model_fields)))


def plan_path(root: Path) -> Path:
    """Where an unfinished run keeps its plan."""
    return root / PLAN


def write_plan(root: Path, plan: Plan) -> None:
    """Record what an unfinished folder is going to be."""
    write_atomically(plan_path(root), to_json(plan))


def read_plan(root: Path) -> Plan | None:
    """The plan of the dataset in a folder, finished or not; None where there is none.

    Raises:
        M3diError: The file that holds it is damaged.
    """
    if (root / MANIFEST).is_file():
        return plan_of(parse_manifest((root / MANIFEST).read_bytes(), str(root / MANIFEST)))
    path = plan_path(root)
    return parse_plan(path.read_bytes(), str(path)) if path.is_file() else None


def parse_plan(raw: bytes, where: str) -> Plan:
    """The plan in the bytes of a file.

    Raises:
        M3diError: It is no valid plan.
    """
    plan: Plan = _parse(Plan, raw, where)
    return plan


def _parse(kind: Any, raw: bytes, where: str) -> Any:
    try:
        return kind.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors()[0]
        raise M3diError(
            "the file is no valid m3di manifest",
            where=f"{where}: {'.'.join(map(str, first['loc'])) or 'top'}",
            got=first["msg"],
            next_step="restore it from a copy, or render into another folder",
        ) from None
