"""The published layout of Multimodal3DIdent: one folder a split, one PNG a sample, captions by line, latents as CSV.

    SPLIT/images/000000.png ...    SPLIT/text/text_raw.txt    SPLIT/latents_image.csv    SPLIT/latents_text.csv

A folder that m3di exported has two more kinds of files, so that no latent is lost: `m3di.json`, the plan of the
dataset, and in each split `m3di.parquet`, its table. The published loader ignores them. Masks and other passes have no
place in it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from m3di.data.format.manifest import Plan
from m3di.data.format.parquet import UNREADABLE, read_csv, read_parquet, read_parquet_metadata, source_in
from m3di.data.format.table import latent_columns
from m3di.data.format.table_checks import metadata_problems, published_problems
from m3di.data.layouts.exported_plan import ExportedPlan, parse_exported_plan
from m3di.data.layouts.published_latents import (
    IMAGE_COLUMNS,
    IMAGE_CSV,
    POSITION,
    TEXT_COLUMNS,
    TEXT_CSV,
    color_indices,
    no_place,
    published_spec,
    published_values,
)
from m3di.data.load.chosen import ALIASES
from m3di.data.storage.places import Folder, LocalFolder
from m3di.errors import DataError, M3diError
from m3di.latents import SPLITS, Samples, Spec, spec_from_dict

MAX_TEXT = 1 << 30
"""Bytes of a CSV file, or of all captions of a split: ten million samples."""
PLAN, TABLE = "m3di.json", "m3di.parquet"
N_IN_FINGERPRINT = 16  # images of each split
CAPTIONS = "text/text_raw.txt"


def image_name(index: int, n: int) -> str:
    """File of an image: its index, zero-padded to the digits of the published rule, which depends on the count."""
    width = math.ceil(math.log10(n)) if n > 0 else 0
    return f"images/{str(index).zfill(width)}.png"


def split_folders(folder: Folder) -> dict[str, str]:
    """Find the splits of a published folder: the prefix of the files of each; empty if there are none.

    Those of other names are found by the plan that our export has left.

    Raises:
        M3diError: A split is there under two names.
    """
    found: dict[str, str] = {}
    plan = read_published_plan(folder)
    for split in dict.fromkeys((*SPLITS, *(plan.n_samples if plan is not None else ()))):
        names = [split, *(alias for alias, name in ALIASES.items() if name == split)]
        there = [f"{name}/" for name in names if folder.exists(f"{name}/{IMAGE_CSV}")]
        if len(there) > 1:
            raise DataError(
                f"split {split!r} is there twice", where=str(folder), got=", ".join(there), next_step="keep one of them"
            )
        if there:
            found[split] = there[0]
    return found or ({"train": ""} if folder.exists(IMAGE_CSV) else {})


def read_published_plan(folder: Folder) -> ExportedPlan | None:
    """Read the plan that our export left, or None."""
    return parse_exported_plan(folder.read(PLAN), folder.path(PLAN)) if folder.exists(PLAN) else None


def read_captions(folder: Folder, prefix: str) -> list[str]:
    """Read the captions of a split, one a line; Windows line ends, a final line end and a BOM are fine.

    Raises:
        M3diError: The file cannot be read, or is not in UTF-8.
    """
    name = prefix + CAPTIONS
    raw = _read(folder, name)
    try:
        text = raw.decode("utf-8-sig").replace("\r\n", "\n").removesuffix("\n")
    except UnicodeDecodeError as error:
        raise DataError(
            "the captions are not in UTF-8",
            where=f"{folder.path(name)}, line {raw.count(10, 0, error.start) + 1}",
            got=repr(raw[max(0, error.start - 20) : error.start + 10]),
            next_step="convert the file, such as by  iconv -f latin1 -t utf-8",
        ) from error
    return text.split("\n") if text else []


def published_table(folder: Folder, split: str, prefix: str, plan: Plan | None) -> pa.Table:
    """Make the table of a split: key, captions, every latent; no shards and offsets.

    Raises:
        M3diError: Columns are missing, counts differ, or a value is out of its range.
    """
    image = _read_csv(folder, prefix + IMAGE_CSV, IMAGE_COLUMNS)
    text = _read_csv(folder, prefix + TEXT_CSV, TEXT_COLUMNS)
    texts = read_captions(folder, prefix)
    n = image.num_rows
    counts = {IMAGE_CSV: n, TEXT_CSV: text.num_rows, CAPTIONS: len(texts)}
    if len(set(counts.values())) > 1:
        raise DataError("the files of a split differ in length", where=folder.path(prefix), got=counts)
    if plan is not None and folder.exists(prefix + TABLE):
        spec = spec_from_dict(plan.spec, where=PLAN, stored=True)
        table = _own_table(folder, prefix + TABLE, spec, n)
        _check_agreement(folder.path(prefix), image, text)
        _check_same(folder.path(prefix), spec, table, image, text, texts)
        return table
    spec = published_spec()
    views = {
        "image": _image_factors(folder.path(prefix + IMAGE_CSV), spec, image),
        "text": _text_factors(folder.path(prefix + TEXT_CSV), spec, text),
    }
    _check_agreement(folder.path(prefix), image, text)
    _check_ranges(folder.path(prefix), spec, views)
    _check_constants(folder.path(prefix), spec, views)
    samples = Samples(spec, split, 0, 0, n, views)
    keys = [image_name(index, n)[len("images/") : -len(".png")] for index in range(n)]
    return pa.table({"key": keys, "text.caption": texts, **latent_columns(samples)})


def _own_table(folder: Folder, name: str, spec: Spec, n: int) -> pa.Table:
    """Read and check the table that our export left."""
    unfit = no_place(spec)
    problem = unfit and f"it is no table of the published layout, by the spec in {PLAN}: {unfit.got}"
    try:
        source = source_in(folder, name)
        problem = problem or next(metadata_problems(read_parquet_metadata(source), n), None)
        table = read_parquet(source) if problem is None else None
        problem = problem or next(published_problems(table, spec), None)
    except UNREADABLE as error:
        raise _unreadable(folder, name, error) from error
    if problem is not None:
        raise _unreadable(folder, name, problem)
    return table


def fingerprint(folder: Folder, folders: dict[str, str]) -> str:
    """Return the identity of published files: of their captions, latents, and some images, evenly spaced.

    Another rendering of the same latents is another dataset; to read all images each time would take too long.
    """
    digest = hashlib.sha256()
    for prefix in folders.values():
        for name in (IMAGE_CSV, TEXT_CSV, CAPTIONS):
            raw = _read(folder, prefix + name)
            digest.update(raw)
        n = raw.removesuffix(b"\n").count(b"\n") + 1 if raw else 0  # captions, one a line
        for index in sorted({n * number // N_IN_FINGERPRINT for number in range(min(n, N_IN_FINGERPRINT))}):
            name = prefix + image_name(index, n)
            digest.update(_read(folder, name) if folder.exists(name) else b"missing")
    return digest.hexdigest()


def _read(folder: Folder, name: str) -> bytes:
    try:
        if isinstance(folder, LocalFolder) and folder.size(name) > MAX_TEXT:
            raise _unreadable(folder, name, f"{folder.size(name):,} bytes, expected at most {MAX_TEXT:,}")
        return folder.read(name)
    except OSError as error:
        raise _unreadable(folder, name, error) from error


def _unreadable(folder: Folder, name: str, error: object) -> M3diError:
    return DataError("a file of the published layout cannot be read", where=folder.path(name), got=error)


def _read_csv(folder: Folder, name: str, columns: Sequence[str]) -> pa.Table:
    try:
        table = read_csv(_read(folder, name))
    except pa.ArrowException as error:
        raise _unreadable(folder, name, error) from error
    table = table.rename_columns([column.strip() for column in table.column_names])
    missing = [column for column in columns if table.column_names.count(column) != 1]
    if missing:
        raise DataError(
            "columns of the published layout are missing",
            where=folder.path(name),
            got=", ".join(table.column_names),
            expected=", ".join(columns) + ": each once, with commas between them",
        )
    return table


def _image_factors(where: str, spec: Spec, table: pa.Table) -> dict[str, NDArray[Any]]:
    return {name: _values(where, spec, table, name) for name in IMAGE_COLUMNS}


def _values(where: str, spec: Spec, table: pa.Table, name: str) -> NDArray[Any]:
    """Read the values of a factor as its type.

    Raises:
        M3diError: One is missing, no number, or no integer where it counts something.
    """
    dtype = np.dtype(spec.factors[name].dtype)
    try:
        numbers = table[name].to_numpy().astype(np.float64)
    except (ValueError, TypeError):
        numbers = np.array([_number(value) for value in table[name].to_pylist()])
    wrong = ~np.isfinite(numbers)
    if dtype.kind in "iu":
        wrong |= numbers != np.floor(numbers)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise DataError(
            f"a value of {name} is no {'integer' if dtype.kind in 'iu' else 'number'}",
            where=f"{where}, row {row}",
            got=repr(table[name][row].as_py()),
            next_step="compare the file with where you got it from",
        )
    return numbers.astype(dtype)


def _number(value: object) -> float:
    try:
        return float(str(value))
    except ValueError:
        return math.nan


def _check_agreement(where: str, image: pa.Table, text: pa.Table) -> None:
    """Check that both files agree on what image and text share."""
    for name in POSITION:
        ours, theirs = image[name].to_pylist(), text[name].to_pylist()
        for row, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            if one != other:
                raise DataError(
                    f"{IMAGE_CSV} and {TEXT_CSV} contradict each other in {name}",
                    where=f"{where}, row {row}",
                    got=f"{one!r} and {other!r}",
                    expected="equal values: image and text of a sample show the same object in the same place",
                    next_step="compare the files with where you got them from; rows may be in another order",
                )


def _text_factors(where: str, spec: Spec, table: pa.Table) -> dict[str, NDArray[Any]]:
    factor = spec.factors["text_color"]
    index_of = {name: index for index, name in enumerate(factor.names)}
    names = table["object_color_name"].to_pylist()
    unknown = sorted({str(name) for name in names if name not in index_of})
    if unknown:
        raise DataError("unknown colour names", where=where, got=", ".join(unknown[:5])[:300])
    color = np.array([index_of[name] for name in names], dtype=np.int64)
    stated = np.array([_number(value) for value in table["object_color_index"].to_pylist()])
    wrong = np.flatnonzero(color_indices(names) != stated)
    if len(wrong):
        raise DataError(
            "a colour's index is not that of its name", where=f"{where}, row {wrong[0]}", got=names[wrong[0]]
        )
    palettes = spec.factors["text_palette"].names
    prefixes = {"tab": "tableau", "xkcd": "xkcd"}
    palette = [palettes.index(prefixes.get(name.partition(":")[0], "css4")) for name in names]
    found = {name: _values(where, spec, table, name) for name in (*POSITION, "text_phrasing")}
    found |= {"text_color": color, "text_palette": np.array(palette, dtype=np.int64)}
    return {name: found[name] for name in spec.views["text"].factors}


def _check_ranges(where: str, spec: Spec, views: dict[str, dict[str, NDArray[Any]]]) -> None:
    for view, columns in views.items():
        for name, values in columns.items():
            low, high = spec.factors[name].bounds
            wrong = np.flatnonzero(~((values >= low) & (values <= high)))
            if len(wrong):
                raise DataError(
                    f"a value of {view}.{name} is out of its range",
                    where=f"{where}, row {wrong[0]}",
                    got=values[wrong[0]],
                    expected=f"{low:g} to {high:g}",
                )


def _check_constants(where: str, spec: Spec, views: dict[str, dict[str, NDArray[Any]]]) -> None:
    """Check that what the spec says is always the same is so."""
    for view, columns in views.items():
        for name, values in columns.items():
            always = spec.views[view].factors[name].value
            if always is None or bool((values == always).all()):
                continue
            row = int(np.flatnonzero(values != always)[0])
            raise DataError(
                f"{view}.{name} is {always:g} in all published files, and the spec of these says so",
                where=f"{where}, row {row}",
                got=values[row],
                expected=f"{always:g}",
                next_step=f"if m3di exported it, keep {PLAN} and {TABLE} beside it: they have its own spec",
            )


def _check_same(where: str, spec: Spec, ours: pa.Table, image: pa.Table, text: pa.Table, texts: list[str]) -> None:
    """Check that the published files still agree with our table beside them."""
    expected = published_values(spec, ours)
    stated = {name: values.tolist() for name, values in _image_factors(where, published_spec(), image).items()}
    of_text = ("object_color_name", "object_color_index", "text_phrasing")
    pairs = [(f"image.{name}", values, expected[IMAGE_CSV][name]) for name, values in stated.items()]
    pairs += [(name, text[name].to_pylist(), expected[TEXT_CSV][name]) for name in of_text]
    differing = [CAPTIONS] if ours.num_rows != len(texts) or ours["text.caption"].to_pylist() != texts else []
    differing += [name for name, found, values in pairs if found != values.tolist()]
    if differing:
        raise DataError(
            f"{TABLE} and the published files differ",
            where=where,
            got=", ".join(differing[:5]),
            next_step=f"export the dataset again; or delete {PLAN} and {TABLE} to go by the published files alone",
        )
