"""Verify samples: images decode, captions and latents follow from the spec, and the table agrees."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from m3di.data.format.decoding import Decoding, decoding_of
from m3di.data.format.images import ImageSizeError
from m3di.data.format.made_files import files_of
from m3di.data.format.manifest import MANIFEST, Manifest
from m3di.data.format.shards import ShardSample
from m3di.data.format.table_checks import ORIGIN
from m3di.errors import M3diError, UsageError
from m3di.latents import LATENTS, Samples, Spec, captions, holds_in, missing_mechanisms, sample, template_of

MAX_GAP = 10_000
"""Samples between two rows that are drawn although no row has them."""


class SampleChecks:
    """The checks of one split.

    Args:
        manifest: The dataset.
        split: The split.
        table: Its whole table.
    """

    def __init__(self, manifest: Manifest, split: str, table: pa.Table) -> None:
        self.manifest, self.split, self.table = manifest, split, table
        self.spec = manifest.parsed_spec.in_split(split)
        self.latents = manifest.extensions[LATENTS]
        members = {f"{extension}_{part}" for extension in manifest.extensions.values() for part in ("offset", "size")}
        self.texts = {name: f"{name}.caption" for name in manifest.text}
        apart = {"key", "shard", *members, *self.texts.values(), *ORIGIN}
        self.columns = {name: table[name].to_pylist() for name in table.column_names}
        self._made: dict[str, list[bytes]] = {}  # by view, SHA-256 of the file of each row; filled by `_expected`
        self.stored = [name for name in table.column_names if name not in apart]

    def table_problems(self) -> Iterator[str]:
        """List values of the table that do not follow from the spec, the seed and the index."""
        missing = [name for name in self._expected if name not in self.columns]
        if missing:
            yield f"column {missing[0]} is missing"
            return
        for name, values in self._expected.items():
            differing = [row for row, value in enumerate(values) if value != self.columns[name][row]]
            if differing:
                row = differing[0]
                yield f"row {row}: {name} is {self.columns[name][row]!r}, the spec gives {values[row]!r}"
        yield from self._given_problems()

    def _given_problems(self) -> Iterator[str]:
        """List rows that do not fulfil the condition of the spec, by the table alone: no mechanism is needed."""
        holds = holds_in(self.spec, {name: np.asarray(values) for name, values in self.columns.items()})
        if holds is not None and self.spec.given is not None and not holds.all():
            row = int(np.flatnonzero(~holds)[0])
            yield f"row {row} does not fulfil the condition of the spec, {self.spec.given.condition}"

    def sample_problems(self, row: int, shard: str, found: ShardSample, contents: dict[str, bytes]) -> Iterator[str]:
        """List problems of the files of a sample."""
        if self.columns["shard"][row] != shard:
            yield f"the table looks for it in {self.columns['shard'][row]}"
        for extension, member in found.members.items():
            stated = (self.columns[f"{extension}_offset"][row], self.columns[f"{extension}_size"][row])
            if stated != (member.offset, member.size):
                yield f"{extension} is at {member.offset}, {member.size} bytes; the table says {stated}"
        for view, declared in (self.spec.rendered | self.spec.made).items():
            raw = contents[self.manifest.extensions[view]]
            yield from self._file_problems(view, decoding_of(declared.kind), raw)
            digests = self._made.get(view)
            if digests is not None and digests[row] != hashlib.sha256(raw).digest():
                yield f"its {declared.modality} in {view} is not what the spec gives"
        for view, column in self.texts.items():
            if contents[self.manifest.extensions[view]] != self.columns[column][row].encode():
                yield f"its caption in {view} is not that of the table"
        yield from self._latent_problems(row, contents[self.latents])

    def _file_problems(self, view: str, kind: Decoding, raw: bytes) -> Iterator[str]:
        extension = self.manifest.extensions[view].rpartition(".")[2]
        name = self.spec.observed[view].view.modality
        try:
            kind.decode(raw, extension, self.manifest.render["size_px"])
        except ImageSizeError as error:
            yield f"its {name} in {view} has {error}"
        except ValueError as error:
            yield f"its {name} in {view} does not decode: {error}"

    def _latent_problems(self, row: int, raw: bytes) -> Iterator[str]:
        try:
            nested = json.loads(raw)
            flat = {f"{view}.{name}": value for view, each in nested.items() for name, value in each.items()}
        except (ValueError, AttributeError, RecursionError) as error:
            yield f"its latents are no JSON: {error}"
            return
        stated = {name: self.columns[name][row] for name in self.stored}
        differing = [name for name in {**stated, **flat} if stated.get(name) != flat.get(name)]
        if differing:
            name = differing[0]
            yield f"{name} is {flat.get(name)!r}, the table says {stated.get(name)!r}"

    @cached_property
    def _expected(self) -> dict[str, list[Any]]:
        """Compute the columns that follow from the spec: latents, captions if a template is known; fill `_made`."""
        if self.manifest.source == "imported":
            return {}
        try:
            return self._derived()
        except M3diError:
            raise
        except Exception as error:
            raise M3diError(
                f"what the split {self.split!r} should be cannot be derived from the spec of the dataset",
                where=f"{MANIFEST}: spec",
                got=f"{type(error).__name__}: {error}"[:300],
                expected="mechanisms and templates with sound parameters",
                next_step=f"restore {MANIFEST} from a copy; m3di verify --quick looks at the structure only",
            ) from error

    def _derived(self) -> dict[str, list[Any]]:
        expected: dict[str, list[Any]] = {}
        missing = left_out(self.manifest, self.split)
        for rows, samples in self._drawn():
            for view in self.spec.made.keys() - missing:
                digests = [hashlib.sha256(raw).digest() for raw in files_of(samples, view)]
                kept = self._made.setdefault(view, [b""] * self.table.num_rows)
                for row, place in zip(rows.tolist(), self._picked(samples, rows).tolist(), strict=True):
                    kept[row] = digests[place]
            columns = {
                f"{view}.{name}": values for view, each in samples.columns().items() for name, values in each.items()
            }
            columns |= {self.texts[view]: np.array(captions(samples, view), dtype=object) for view in self._captioned}
            for name, values in columns.items():
                into = expected.setdefault(name, [None] * self.table.num_rows)
                for row, value in zip(rows.tolist(), values[self._picked(samples, rows)].tolist(), strict=True):
                    into[row] = value
        return expected

    def _drawn(self) -> Iterator[tuple[NDArray[np.int64], Samples]]:
        """Yield rows of the table, with a run of samples that holds them all."""
        n = self.table.num_rows
        if self.manifest.source == "rendered":
            yield np.arange(n), sample(self.spec, self.split, n, seed=self.manifest.seed, partly=True)
            return
        seeds, splits = np.asarray(self.columns["origin_seed"]), np.asarray(self.columns["origin_split"])
        for seed, split in sorted(set(zip(seeds.tolist(), splits.tolist(), strict=True))):
            rows = np.flatnonzero((seeds == seed) & (splits == split))
            rows = rows[np.argsort(self._index[rows], kind="stable")]
            index = self._index[rows]
            # Draw distant rows separately: never draw many more samples than there are rows.
            for part in np.split(np.arange(len(rows)), np.flatnonzero(np.diff(index) > MAX_GAP) + 1):
                start, stop = int(index[part[0]]), int(index[part[-1]]) + 1
                yield (
                    rows[part],
                    sample(self._drawn_as(split), split, stop - start, seed=seed, start=start, partly=True),
                )

    def _drawn_as(self, split: str) -> Spec:
        """Return the process of this split, for samples that had the noise of the split they come from."""
        return self.spec.model_copy(update={"splits": {**self.spec.splits, split: 0}})

    def _picked(self, samples: Samples, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        return self._index[rows] - samples.start

    @cached_property
    def _index(self) -> NDArray[np.int64]:
        if self.manifest.source == "derived":
            return np.asarray(self.columns["origin_index"], dtype=np.int64)
        return np.arange(self.table.num_rows)

    @cached_property
    def _captioned(self) -> list[str]:
        """Return the text views whose template and factors are installed here."""
        return [name for name in self.texts if name not in left_out(self.manifest, self.split)]


def left_out(manifest: Manifest, split: str | None = None) -> dict[str, str]:
    """List what cannot be derived here of a split, or of any, with the reason: `VIEW.FACTOR`, or VIEW for captions."""
    if manifest.source == "imported":
        return {}
    if split is None:
        return {name: why for each in manifest.splits for name, why in left_out(manifest, each).items()}
    spec = manifest.parsed_spec.in_split(split)
    found: dict[str, str] = {}
    missing = missing_mechanisms(spec)
    for name, observed in spec.observed.items():
        lacking = missing[observed.declared]
        found |= {f"{name}.{factor}": f"the mechanism {each!r} is not installed" for factor, each in lacking.items()}
        if observed.view.kind.source != "rendered" and lacking:
            found[name] = f"{next(iter(lacking))} is not derived"
        elif name in manifest.text and not _is_installed(spec, name):
            found[name] = f"the template {observed.view.template!r} is not here"
    return found


def _is_installed(spec: Spec, view: str) -> bool:
    try:
        template_of(spec, view)
    except UsageError:
        return False
    return True
