"""What the page asks for: all that is read of datasets, encodings and runs, each answer as a type and bytes."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m3di.browse.described import description, passes_of
from m3di.browse.displayed import shown_image, shown_pass
from m3di.browse.encoding_map import Count, EncodingMap, encode_rows, read_encodings
from m3di.browse.gathered import Gathered, gather_rows
from m3di.browse.same_samples import evenly
from m3di.errors import UsageError

MAX_ROWS = 1000  # of one answer
MAX_TEXT = 1000  # characters that are searched for
Answer = tuple[str, bytes]


@dataclass(frozen=True)
class Look:
    """What is looked at.

    Attributes:
        gathered: The datasets.
        encodings: Encodings of the first of them, or None.
        run: Folder of a training run, or of a sweep, or None.
        not_encoded: Why there are no encodings although there is a run.
    """

    gathered: Gathered
    encodings: EncodingMap | None = None
    run: Path | None = None
    not_encoded: str = ""

    @cached_property
    def about(self) -> dict[str, Any]:
        """What the page begins with."""
        return description(self.gathered) | self.encoded | {"run": self.run.name if self.run else None}

    @property
    def encoded(self) -> dict[str, Any]:
        """The views that have encodings, and of which samples, or why there are none."""
        if self.encodings is None:
            return {"encodings": [], "encoded": self.not_encoded}
        return {
            "encodings": list(self.encodings.views) if len(self.encodings.rows) else [],
            "encoded": self.encodings.note,
        }

    def answer(self, path: Sequence[str], query: dict[str, str]) -> Answer | None:
        """What lies at a path of the page, or None where nothing does.

        Raises:
            M3diError: It cannot be read.
            LookupError, ValueError: There is no such row, view or column.
        """
        match path:
            case ["about.json"]:
                return as_json(self.about)
            case ["column", name]:
                known = {each["name"] for each in self.about["columns"]}
                return raw(self.gathered.numbers(name)) if name in known else None
            case ["rows.json"]:
                return as_json(self.gathered.rows(_numbers(query["of"])))
            case ["search"]:
                return raw(np.packbits(self.gathered.contains(_searched(query["text"])), bitorder="little"))
            case ["image", row, view] if view in self.gathered.spec.rendered:
                block, own = self.gathered.place(int(row))
                return shown_image(block.files, own, view)
            case ["pass", row, view, name]:
                block, own = self.gathered.place(int(row))
                passes = passes_of(self.gathered.sources[block.dataset]).get(view, [])
                return ("image/png", shown_pass(block.files, own, view, name)) if name in passes else None
            case ["map", view] if self.encodings and view in self.encodings.views:
                return raw(self.encodings.places(view))
            case ["map-rows"] if self.encodings:
                return raw(self.encodings.rows.astype(np.float64))
            case ["nearest.json", view, row] if self.encodings and view in self.encodings.views:
                return as_json(self.encodings.nearest(view, int(row)))
            case ["curves.json"] if self.run:
                return as_json(curves_of(self.run))
        return None


def open_look(roots: Sequence[str | os.PathLike[str]], encodings: Path | None = None, run: Path | None = None) -> Look:
    """Open what is to be looked at.

    Args:
        roots: Folders or URLs of datasets; the first one is that of the encodings.
        encodings: The .npz that `m3di evaluate --save-encodings` wrote, or an .npz of your own encodings.
        run: Folder of a training run or of a sweep.

    Raises:
        M3diError: A dataset or file is missing or damaged.
        UsageError: The datasets cannot be compared, or the folder is no run.
    """
    gathered = gather_rows(roots)
    if run is not None and not curves_of(run):
        raise UsageError(
            "there is no training run here", where=str(run), got="no metrics.csv",
            expected="the folder of a run of m3di train, or of a sweep", next_step="check the path",
        )  # fmt: skip
    return Look(gathered, read_encodings(encodings, gathered) if encodings is not None else None, run)


def encoded_look(look: Look, rows: NDArray[np.int64], n: int, count: Count | None = None) -> Look:
    """A look with encodings by its run, where that has a checkpoint and no encodings were given.

    Args:
        look: The look.
        rows: Rows to encode, increasing.
        n: At most so many of them, evenly spaced; 0 encodes none.
        count: Told how many samples are done, of how many.

    Raises:
        M3diError: The run cannot read the dataset.
        UsageError: `n` is negative.
    """
    from m3di.evaluate import newest_checkpoint  # imports torch

    check_n_encoded(n)
    if look.run is None or look.encodings is not None or n == 0:
        return look
    checkpoint = newest_checkpoint(look.run)
    if checkpoint is not None:
        return replace(look, encodings=encode_rows(checkpoint, look.gathered, evenly(rows, n), count))
    sweep = look.run.name not in curves_of(look.run)
    why = "a map of encodings is of one run, not of a sweep" if sweep else "the run has no checkpoint yet to encode by"
    return replace(look, not_encoded=why)


def check_n_encoded(n: int) -> None:
    """Raise UsageError if a number of samples to encode is negative."""
    if n < 0:
        raise UsageError("--n-encoded is too small", where="--n-encoded", got=n, expected="0 or more")


def curves_of(run: Path) -> dict[str, dict[str, list[float | None]]]:
    """Steps, losses and validation losses of a run as it is now, or of every member of a sweep, by name.

    Raises:
        M3diError: A metrics file is damaged.
    """
    from m3di.report.runs.figures import read_curves  # imports torch

    return {name: {key: finite(each) for key, each in own.items()} for name, own in read_curves(run).items()}


def as_json(value: Any) -> Answer:
    """JSON, without what it has no words for."""
    return "application/json", json.dumps(value, allow_nan=False, separators=(",", ":")).encode()


def raw(values: Any) -> Answer:
    """Numbers as they lie in memory, little end first."""
    return "application/octet-stream", values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()


def finite(values: Any) -> list[float | None]:
    """Numbers for JSON; None for what is none."""
    return [float(each) if np.isfinite(each) else None for each in values]


def _searched(text: str) -> str:
    if len(text) > MAX_TEXT:
        raise UsageError(
            "the text to search for is too long", got=f"{len(text):,} characters", expected=f"at most {MAX_TEXT:,}",
            next_step="a part of it finds the same captions",
        )  # fmt: skip
    return text


def _numbers(text: str) -> list[int]:
    numbers = [int(each) for each in text.split(",")]
    if len(numbers) > MAX_ROWS:
        raise ValueError(f"{len(numbers)} rows at once, expected at most {MAX_ROWS}")
    return numbers
