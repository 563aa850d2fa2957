"""Cut and join datasets: samples keep their bytes, and the table names the origin of each row."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from m3di.data.format.assemble import Contents, Count, assemble, counted, described
from m3di.data.format.entries import TextEntry
from m3di.data.format.manifest import Manifest, Plan, plan_of
from m3di.data.format.table_checks import ORIGIN
from m3di.data.load.chosen import split_called
from m3di.data.load.sources import ShardSource, open_shards
from m3di.data.load.where import mask_of
from m3di.data.storage.places import local_path
from m3di.data.unfinished.whole_folder import whole_folder
from m3di.errors import M3diError, UsageError, did_you_mean
from m3di.latents import SPLITS, Spec, plain_spec
from m3di.latents.difference import changed_places
from m3di.latents.splits import SPLIT_EXPECTED, is_split_name, process_of, unlike, with_variants

FORMATS = ("png", "webp", "qoi")


@dataclass(frozen=True)
class _Part:
    """A split of a dataset, or some rows of it."""

    source: ShardSource
    table: pa.Table
    split: str

    @property
    def rows(self) -> pa.Table:
        """Return its rows, with their origin."""
        return described(self.table)

    def contents(self, extensions: dict[str, str]) -> Iterator[Contents]:
        """Yield the files of each row by extension; convert images if the extension asks for it."""
        files = self.source.files("", self.table)
        own = self.source.manifest.extensions
        images = self.source.spec.rendered
        for row in range(self.table.num_rows):
            contents = {}
            for view, extension in extensions.items():
                if view in images and extension != own[view]:
                    contents[extension] = files.read_image(row, view, extension.rpartition(".")[2])
                else:
                    contents[extension] = files.read_whole(row, view)
            yield contents


def subset(
    root: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    splits: Sequence[str] = (),
    n: int | None = None,
    where: str | None = None,
    images: str | None = None,
    count: Count | None = None,
) -> Manifest:
    """Write some samples of a dataset as a dataset.

    Args:
        root: Folder or URL of the dataset.
        out: A new or empty folder.
        splits: The splits to keep; all if empty.
        n: At most that many samples of each split, the first that fit.
        where: Condition on the columns of the table, see `mask_of`.
        images: Format of the images, `png`, `webp` or `qoi`, all lossless; as they are if None.
        count: Told how many samples are written, of how many.

    Raises:
        M3diError: There is no dataset, `out` is not empty, or nothing is left.
        UsageError: There is no such split, column or format, a format where there are no images, or `out` is a URL.
    """
    folder = local_path(out)
    source = open_shards(root)
    manifest = source.manifest
    splits = [split_called(split, manifest.splits, f"{root}, --split") for split in splits]
    if n is not None and n < 1:
        raise UsageError("--n is too small", where="--n", got=n, expected="1 or more")
    if images is not None:
        _check_format(images, source.spec)
    parts = {}
    for split in manifest.splits:
        table = _with_origin(source, split)
        keep = mask_of(where, table, source.spec) if where is not None else np.ones(table.num_rows, dtype=bool)
        rows = np.flatnonzero(keep)[: n if split in splits or not splits else 0]
        parts[split] = [_Part(source, table.take(pa.array(rows)), split)]
    if not any(part.table.num_rows for each in parts.values() for part in each):
        raise M3diError("no sample is left", where=str(root), got=where, next_step="loosen the condition")
    extensions = dict(manifest.extensions)
    for view in source.spec.rendered:
        before, dot, format_ = extensions[view].rpartition(".")
        extensions[view] = f"{before}{dot}{images or format_}"
    return _joined(folder, plan_of(manifest).model_copy(update={"extensions": extensions}), parts, count)


def _check_format(images: str, spec: Spec) -> None:
    """Raise UsageError unless this is a format of images, and there are some."""
    if images not in FORMATS:
        raise UsageError(
            f"no image format is called {images!r}",
            where="--images",
            expected=", ".join(FORMATS),
            next_step=did_you_mean(images, FORMATS),
        )
    if not spec.rendered:
        raise UsageError(
            "--images is about images, and this dataset has none",
            where="--images",
            got=f"views {', '.join(spec.observed)}",
            next_step="leave --images out",
        )


def merge(
    roots: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    count: Count | None = None,
    *,
    names: Sequence[str | None] = (),
) -> Manifest:
    """Write the samples of several datasets as one dataset, split by split, in the order given.

    Their specs are one, or have the same columns: then each split has a process of its own, and keeps it.

    Args:
        roots: Folders or URLs of the datasets.
        out: A new or empty folder.
        count: Told how many samples are written, of how many.
        names: For each dataset, what its splits are called in the new one: `NAME_SPLIT`, or `NAME` where only one of
            them has samples. None, or nothing, leaves them as they are called.

    Raises:
        M3diError: They differ in columns, in settings or in the process of a split, hold a sample twice (in one split
            or in two), or `out` is not empty.
        UsageError: Fewer than two are given, a name is none, or `out` is a URL.
    """
    if len(roots) < 2:
        raise UsageError("there is nothing to join", got=f"{len(roots)} datasets", expected="two or more")
    folder = local_path(out)
    sources = [open_shards(root) for root in roots]
    plans = [_comparable(source.manifest) for source in sources]
    for root, source, plan in zip(roots[1:], sources[1:], plans[1:], strict=True):
        differences = plans[0].model_copy(update={"spec": {}}).differences(plan.model_copy(update={"spec": {}}))
        if plans[0].spec != plan.spec:
            differences += unlike(sources[0].spec.base, source.spec.base)
        if differences:
            raise M3diError(
                "the datasets differ in more than their samples",
                where=f"{roots[0]} | {root}",
                got="\n            ".join(differences),
                expected="the same factors and views, one image size and quality, one format",
            )
    parts: dict[str, list[_Part]] = {split: [] for split in sources[0].manifest.splits} if not any(names) else {}
    for source, called in zip(sources, _called(sources, names), strict=True):
        for split, target in called.items():
            parts.setdefault(target, []).append(_Part(source, _with_origin(source, split), split))
    spec = _joined_spec(parts)
    _check_distinct(parts)
    text = {view: _joined_text([source.manifest.text[view] for source in sources]) for view in sources[0].manifest.text}
    seeds = tuple(dict.fromkeys(seed for source in sources for seed in source.manifest.all_seeds))
    update: dict[str, Any] = {"text": text, "seeds": seeds if len(seeds) > 1 else ()}
    update |= {"spec": plans[0].spec if spec is None else plain_spec(spec)}
    return _joined(folder, plan_of(sources[0].manifest).model_copy(update=update), parts, count)


def _called(sources: Sequence[ShardSource], names: Sequence[str | None]) -> list[dict[str, str]]:
    """Return, for each dataset, what each of its splits is called in the joined one."""
    found: list[dict[str, str]] = []
    for source, name in zip(sources, [*names, *[None] * (len(sources) - len(names))], strict=True):
        filled = [split for split, n in source.n_samples.items() if n]
        if name is not None and not is_split_name(name):
            raise UsageError(
                "splits cannot be called so", where="NAME=FOLDER", got=repr(name), expected=SPLIT_EXPECTED,
                next_step="take another name",
            )  # fmt: skip
        if name is None:
            found.append({split: split for split in source.manifest.splits})
        else:
            found.append({split: name if len(filled) == 1 else f"{name}_{split}" for split in filled})
    return found


def _joined_spec(parts: dict[str, list[_Part]]) -> Spec | None:
    """Return the spec of the joined splits; None where it is that of the first dataset.

    Raises:
        M3diError: Samples of two processes would be in one split.
    """
    processes: dict[str, Spec] = {}
    for split, each in parts.items():
        for part in each:
            process = part.source.spec.in_split(part.split)
            if process_of(processes.setdefault(split, process)) == process_of(process):
                continue
            before = next(other for other in each if other.source is not part.source)
            differing = changed_places(process_of(processes[split]), process_of(process))
            raise M3diError(
                f"the datasets differ in more than their samples: two processes would be in the split {split!r}",
                where=f"{before.source.folder} | {part.source.folder}",
                got=", ".join(differing[:8]),
                expected="one process for each split",
                next_step=f"name the splits of one of them: m3di merge ... NAME={part.source.folder}",
            )
    first = next(part.source.spec for each in parts.values() for part in each)
    own = {split: process for split, process in processes.items() if process_of(process) != process_of(first.base)}
    same = all(process_of(first.in_split(split)) == process_of(process) for split, process in processes.items())
    if same and processes.keys() <= {*SPLITS, *first.splits}:
        return None
    sizes = {split: sum(part.table.num_rows for part in each) for split, each in parts.items()}
    base = first.base.model_copy(update={"splits": sizes})
    return with_variants(base, own)


def _with_origin(source: ShardSource, split: str) -> pa.Table:
    """Read the table of a split; add the origin to rows of rendered samples."""
    table = source.table(split)
    if source.manifest.source != "rendered":
        return table
    n = table.num_rows
    columns = (
        pa.array([source.manifest.seed] * n, pa.int64()),
        pa.array([split] * n, pa.string()),
        pa.array(range(n), pa.int64()),
    )
    for name, column in zip(ORIGIN, columns, strict=True):
        table = table.append_column(name, column)
    return table


def _comparable(manifest: Manifest) -> Plan:
    """Return the plan without what may differ between joined datasets."""
    source = "imported" if manifest.source == "imported" else "derived"
    return plan_of(manifest).model_copy(
        update={"seed": 0, "seeds": (), "n_samples": {}, "shard_size": 0, "text": {}, "source": source}
    )


def _joined_text(entries: list[TextEntry]) -> TextEntry:
    """Join the tokens: those of one spec are equal, imported ones are merged."""
    special = entries[0].vocabulary[:2]
    words = sorted({word for entry in entries for word in entry.vocabulary} - set(special))
    length = max(entry.length for entry in entries)
    return TextEntry(vocabulary=(*special, *words), length=length, quoted=entries[0].quoted)


def _check_distinct(parts: dict[str, list[_Part]]) -> None:
    """Check that no sample is there twice: not in one split, and not in two, such as of train and test.

    Raises:
        M3diError: One is.
    """
    # By process, the split and folder of each origin.
    seen: list[tuple[dict[str, Any], dict[tuple[int, str, int], tuple[str, str]]]] = []
    for split, part in ((split, part) for split, each in parts.items() for part in each):
        if ORIGIN[0] not in part.table.column_names:
            continue  # imported: nobody knows where its samples come from
        # Samples of one noise and of two processes are two samples: a world and another one beside it.
        process = process_of(part.source.spec.in_split(part.split))
        known = next((splits for each, splits in seen if each == process), None)
        if known is None:
            seen.append((process, known := {}))
        origins = list(zip(*(part.table[name].to_pylist() for name in ORIGIN), strict=True))
        twice = next((origin for origin in origins if origin in known), None)
        if twice is not None:
            seed, of, index = twice
            before, folder = known[twice]
            places = f"in split {split!r}" if split == before else f"in the splits {before!r} and {split!r}"
            raise M3diError(
                f"a sample is there twice {places}",
                where=" | ".join(dict.fromkeys((folder, str(part.source.folder)))),
                got=f"sample {index} of split {of} with seed {seed}",
                expected="datasets rendered with different seeds, or different parts of one",
                next_step="render one of them with another --seed, or cut it with `m3di subset --where`",
            )
        known.update(dict.fromkeys(origins, (split, str(part.source.folder))))


def _concatenated(split: str, parts: list[_Part]) -> pa.Table:
    try:
        return pa.concat_tables([part.rows for part in parts])
    except pa.ArrowException:
        schemas = [dict(zip(part.rows.schema.names, part.rows.schema.types, strict=True)) for part in parts]
        names = sorted({name for each in schemas for name in each})
        differing = [name for name in names if len({each.get(name) for each in schemas}) > 1]
        raise M3diError(
            f"the tables of split {split!r} differ in their columns",
            where=" | ".join(str(part.source.folder) for part in parts),
            got=", ".join(differing[:5]) or "columns in another order",
            expected="the same columns of the same types",
            next_step="render the datasets with one version of m3di",
        ) from None


def _joined(out: Path, plan: Plan, parts: dict[str, list[_Part]], count: Count | None) -> Manifest:
    rows = {split: _concatenated(split, each) for split, each in parts.items()}
    contents = {split: chain(*(part.contents(plan.extensions) for part in each)) for split, each in parts.items()}
    n_samples = {split: table.num_rows for split, table in rows.items()}
    source = plan.source if plan.source == "imported" else "derived"
    sources = [part.source.manifest for each in parts.values() for part in each]
    devices = [device for manifest in sources for device in manifest.devices]
    created = max((manifest.created for manifest in sources), default="")
    plan = plan.model_copy(update={"n_samples": n_samples, "source": source})
    with whole_folder(out) as folder:
        return assemble(folder, plan, rows, counted(contents, n_samples, count), devices, created=created)
