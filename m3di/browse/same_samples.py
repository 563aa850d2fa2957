"""Which rows are one sample: those of one seed, split and number have one noise, where their processes are one up to
interventions.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from m3di.data import ShardSource, Source
from m3di.data.format.table_checks import ORIGIN
from m3di.latents import Spec
from m3di.latents.difference import changed_places
from m3di.latents.splits import process_of

Origins = tuple[NDArray[np.int64], pa.Array, NDArray[np.int64]]


@dataclass(frozen=True)
class Twins:
    """Rows by the sample that they are.

    Attributes:
        sample: Number of the sample of each row, int64 [n_rows]; -1 where no other row can be the same one.
        rows: Rows that have a number, by this number, int64 [n].
        first: Where the rows of each sample begin in `rows`, int64 [n_samples + 1].
        process: Number of the process of each row, uint16 [n_rows].
        alike: Which processes are one up to interventions, bool [n_processes, n_processes].
    """

    sample: NDArray[np.int64]
    rows: NDArray[np.int64]
    first: NDArray[np.int64]
    process: NDArray[np.uint16]
    alike: NDArray[np.bool_]

    def of(self, row: int) -> list[int]:
        """The other rows that are the same sample."""
        number = self.sample[row]
        if number < 0:
            return []
        others = self.rows[self.first[number] : self.first[number + 1]]
        alike = self.alike[self.process[row], self.process[others]]
        return [int(each) for each in others[alike] if each != row]

    def evenly(self, n: int) -> NDArray[np.int64]:
        """At most `n` rows, evenly spaced, with all their twins beside them; more twins than that are cut."""
        unlike = np.flatnonzero(self.sample < 0)
        leading = np.sort(np.concatenate([unlike, self.rows[self.first[:-1]]]))  # a row for each sample
        n_leading = min(len(leading), n)
        while True:
            chosen = evenly(leading, n_leading)
            wanted = np.zeros(len(self.first) - 1, dtype=bool)
            wanted[self.sample[chosen][self.sample[chosen] >= 0]] = True
            found = np.sort(
                np.concatenate([chosen[self.sample[chosen] < 0], self.rows[np.repeat(wanted, self._sizes)]])
            )
            if len(found) <= n or n_leading == 1:
                return found[:n]
            n_leading = max(1, min(n_leading - 1, n_leading * n // len(found)))

    @property
    def _sizes(self) -> NDArray[np.int64]:
        return np.diff(self.first)


def evenly(rows: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """At most `n` of some rows, evenly spaced."""
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(n, len(rows))).round().astype(np.int64))]


def find_twins(blocks: Sequence[tuple[Source, str, pa.Table]]) -> Twins:
    """Twins among the rows of some splits, numbered through.

    Args:
        blocks: Dataset, name of the split and rows of each, in the order of the rows.
    """
    processes, alike = _processes([source.spec.in_split(split) for source, split, _ in blocks])
    n = np.array([table.num_rows for _, _, table in blocks])
    keys, rows, names = [], [], dict[str, int]()
    for number, (source, split, table) in enumerate(blocks):
        has_kin = alike[processes[number], processes].sum() > 1
        origins = _origins(source, split, table) if has_kin else None
        if origins is None:
            continue
        seeds, splits, indices = origins
        encoded = splits.dictionary_encode()
        codes = np.array([names.setdefault(each, len(names)) for each in encoded.dictionary.to_pylist()], np.int64)
        keys.append(np.stack([seeds, codes[encoded.indices.to_numpy()], indices]))
        rows.append(np.arange(n[number]) + n[:number].sum())
    grouped = _grouped(int(n.sum()), keys, rows)
    return Twins(*grouped, np.repeat(processes, n), alike)


def _grouped(
    n_rows: int, keys: list[NDArray[np.int64]], rows: list[NDArray[np.int64]]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """`sample`, `rows` and `first` of twins, by the columns of `keys`, int64 [3, n] for some rows each."""
    sample = np.full(n_rows, -1, dtype=np.int64)
    if not keys:
        return sample, np.zeros(0, np.int64), np.zeros(1, np.int64)
    every, numbers = np.concatenate(keys, axis=1), np.concatenate(rows).astype(np.int64)
    order = np.lexsort(every)  # stable: rows of one sample stay in their order
    begins = np.concatenate([[True], (np.diff(every[:, order], axis=1) != 0).any(axis=0)])
    sizes = np.diff(np.concatenate([np.flatnonzero(begins), [len(order)]]))
    kept = numbers[order][np.repeat(sizes > 1, sizes)]
    first = np.concatenate([[0], np.cumsum(sizes[sizes > 1])]).astype(np.int64)
    sample[kept] = np.repeat(np.arange(len(first) - 1), np.diff(first))
    return sample, kept, first


def _origins(source: Source, split: str, table: pa.Table) -> Origins | None:
    """Seed, split and number of the sample that each row was rendered as; None where nobody knows."""
    if all(name in table.column_names for name in ORIGIN):
        seeds, splits, indices = (table[name].combine_chunks() for name in ORIGIN)
        return seeds.to_numpy(), splits, indices.to_numpy()
    plan = source.manifest if isinstance(source, ShardSource) else getattr(source, "plan", None)
    if plan is None or plan.source != "rendered":
        return None
    n = table.num_rows
    return np.full(n, plan.seed, np.int64), pa.array([split] * n, pa.string()), np.arange(n, dtype=np.int64)


def _processes(specs: Sequence[Spec]) -> tuple[NDArray[np.uint16], NDArray[np.bool_]]:
    """A number for each process, and which of them are one up to interventions."""
    known: dict[str, int] = {}
    numbers = [known.setdefault(json.dumps(process_of(each), sort_keys=True), len(known)) for each in specs]
    leads = [specs[numbers.index(each)] for each in range(len(known))]
    alike = np.eye(len(leads), dtype=bool)
    for number, spec in enumerate(leads):
        for other in range(number):
            alike[number, other] = alike[other, number] = not places_apart(leads[other], spec)
    return np.array(numbers, np.uint16), alike


def places_apart(one: Spec, other: Spec) -> list[str]:
    """Where two processes differ in more than the interventions of both: nowhere, if one noise gives twins.

    Args:
        one: A process, as a spec whose splits are all alike.
        other: Another one.
    """
    both = (one, other)
    return changed_places(*(_untouched(each, both) for each in both))


def _untouched(spec: Spec, both: Sequence[Spec]) -> dict[str, Any]:
    """What the interventions of neither of two processes can have changed of one of them; see `do`."""
    targets = list(dict.fromkeys(target for each in both for target in each.interventions))
    plain = process_of(spec)
    plain.pop("interventions", None)
    if not targets:
        return plain
    plain.get("given", {}).pop("factual", None)
    for factor in plain["factors"].values():
        factor.pop("moved", None)
    for view in plain["views"].values():
        for use in view["factors"].values():
            use.pop("unshared", None)
    for target in targets:
        view, _, name = target.rpartition(".")
        for each in [view] if view else plain["views"]:
            _forget(plain["views"].get(each, {}).get("factors", {}), each, name, both)
        if view:
            _forget_sharing(plain["views"].get(view, {}).get("factors", {}), _below(name, both))
            continue
        plain["factors"].get(name, {}).pop("mechanism", None)
        for regime in plain.get("regimes", {}).values():
            for case in regime["cases"].values():
                case.pop(name, None)
    return plain


def _forget(uses: dict[str, Any], view: str, name: str, both: Iterable[Spec]) -> None:
    """Take away how a view uses a factor, and what says when it changes there."""
    uses.pop(name, None)
    for spec in both:
        own = spec.views[view].factors.get(name) if view in spec.views else None
        if own is not None and own.when is not None:
            uses.pop(own.when, None)


def _forget_sharing(uses: dict[str, Any], names: Iterable[str]) -> None:
    """Content that follows a factor of one view only is style there: no longer tell the two apart."""
    for name in names:
        if name in uses and uses[name]["role"] in ("content", "style"):
            uses[name] = {**uses[name], "role": "content or style"}


def _below(name: str, both: Iterable[Spec]) -> set[str]:
    return {each for spec in both for each in spec.descendants([name])}
