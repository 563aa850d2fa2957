"""The page as one file: it asks nobody for anything, so that it can be sent, and opened from a disk."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m3di.browse.displayed import thumbnail
from m3di.browse.encoding_map import EncodingMap
from m3di.browse.look import Look, curves_of
from m3di.browse.page_files import INDEX, one_module, page_file
from m3di.errors import UsageError
from m3di.system.disk import disk_errors
from m3di.system.files import write_atomically

SCRIPT = '<script type="module" src="main.js"></script>'
STYLE = '<link rel="stylesheet" href="style.css">'
POLICY = '<meta name="referrer" content="no-referrer">'
Count = Callable[[int, int], None]


def write_page(look: Look, out: Path, n: int = 500, size_px: int = 128, count: Count | None = None) -> int:
    """Write the page with some samples as one file.

    Args:
        look: What is looked at.
        out: The .html to write.
        n: At most so many samples, evenly spaced over all rows; those that are one sample in several datasets or splits
            come together. All where there are no more.
        size_px: Widest picture; wider ones are made smaller.
        count: Told how many samples are done, of how many.

    Returns:
        Samples in the file.

    Raises:
        UsageError: `n` or `size_px` is too small, or the file has another ending.
        M3diError: An image cannot be read, or the file cannot be written.
    """
    _check_least("--thumbnail", size_px, 8)
    if out.suffix.lower() not in (".html", ".htm"):
        raise UsageError("the page needs another name", where=f"--out {out}", expected="a name that ends in .html")
    if out.is_dir():
        raise UsageError("the page needs another name", where=f"--out {out}", got="a folder", expected="a file's name")
    chosen = rows_of_page(look, n)
    content = _page(_data(look, chosen, size_px, count or (lambda done, total: None)))
    with disk_errors(out, "the page cannot be written", kept=False):
        out.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(out, content)
    return len(chosen)


def rows_of_page(look: Look, n: int) -> NDArray[np.int64]:
    """Numbers of the rows that `write_page` shows of `n`.

    Raises:
        UsageError: `n` is too small.
    """
    _check_least("--n", n, 1)
    return look.gathered.twins.evenly(n)


def _check_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise UsageError(f"{name} is too small", where=name, got=value, expected=f"{least} or more")


def _data(look: Look, chosen: NDArray[np.int64], size_px: int, count: Count) -> dict[str, Any]:
    """What the page would ask a server for."""
    gathered = look.gathered
    about = json.loads(json.dumps(look.about)) | {"n_rows": len(chosen), "of": gathered.n_rows}
    for dataset in about["datasets"]:
        dataset["passes"] = {}  # thumbnails alone
        dataset["root"] = dataset["name"]  # where it lies here is none of the readers' business
    about["blocks"] = _blocks(about["blocks"], chosen)
    columns = {}
    for each in about["columns"]:
        values = gathered.numbers(each["name"])[chosen]
        columns[each["name"]] = _base64(values.astype(values.dtype.newbyteorder("<")).tobytes())
    pictures = {view: _Pictures() for view in gathered.spec.rendered}
    for done, row in enumerate(map(int, chosen), 1):
        block, own = gathered.place(row)
        for view, kept in pictures.items():
            kept.add(*thumbnail(block.files, own, view, size_px))
        count(done, len(chosen))
    encodings = look.encodings.only(chosen) if look.encodings is not None else None
    return {
        "about": about | replace(look, encodings=encodings).encoded,
        "columns": columns,
        "rows": _rows(_renumbered(gathered.rows(chosen.tolist()), chosen)),
        "pictures": {view: kept.urls for view, kept in pictures.items()},
        **_encodings(encodings),
        "curves": curves_of(look.run) if look.run else None,
    }


def _renumbered(rows: list[dict[str, Any]], chosen: NDArray[np.int64]) -> list[dict[str, Any]]:
    """The chosen rows, by their places among them; twins that are not there are left out."""
    numbers = {int(row): number for number, row in enumerate(chosen)}
    return [
        row | {"row": numbers[row["row"]], "twins": [numbers[each] for each in row["twins"] if each in numbers]}
        for row in rows
    ]


def _rows(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Rows whose names are written once: the number of its `names`, then its values, of each row."""
    names = list(dict.fromkeys(tuple(row) for row in rows))
    return {"names": names, "values": [[names.index(tuple(row)), *row.values()] for row in rows]}


def _encodings(own: EncodingMap | None) -> dict[str, Any]:
    """Where the chosen rows lie on the map of each view, and the nearest of each row among them."""
    if own is None or not len(own.rows):
        return {}
    return {
        "map_rows": own.rows.tolist(),
        "maps": {view: _base64(own.places(view).astype("<f4").tobytes()) for view in own.views},
        "nearest": {
            view: [[[each["row"], each["cosine"]] for each in own.nearest(view, row)] for row in own.rows.tolist()]
            for view in own.views
        },
    }


class _Pictures:
    """Pictures of a view as URLs that hold them."""

    def __init__(self) -> None:
        self.urls: list[str] = []

    def add(self, mime: str, raw: bytes) -> None:
        self.urls.append(f"data:{mime};base64,{_base64(raw)}")


def _blocks(blocks: list[dict[str, Any]], chosen: NDArray[np.int64]) -> list[dict[str, Any]]:
    """The splits, as the chosen rows are numbered."""
    found, first = [], 0
    for block in blocks:
        n = int(((chosen >= block["first"]) & (chosen < block["first"] + block["n"])).sum())
        if n:
            found.append(block | {"first": first, "n": n})
        first += n
    return found


def _page(data: dict[str, Any]) -> bytes:
    """The page: its script is the only one that its policy lets run, by its hash."""
    script = one_module()
    hashed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; script-src 'sha256-{hashed}'; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )
    # A `<` in a text of the data could end the element that holds it.
    embedded = json.dumps(data, allow_nan=False, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")
    page = (page_file(INDEX) or b"").decode()
    for place, content in (
        (POLICY, f'{POLICY}\n<meta http-equiv="Content-Security-Policy" content="{policy}">'),
        (STYLE, f"<style>{(page_file('style.css') or b'').decode()}</style>"),
        (
            SCRIPT,
            f'<script type="application/json" id="data">{embedded}</script>\n<script type="module">{script}</script>',
        ),
    ):
        before, _, after = page.partition(place)
        page = before + content + after
    return page.encode()


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
