"""Texts of one's own in the place of captions: paraphrases by the caption that they stand for, or texts by sample.

A file is CSV in UTF-8 with a header. With the columns `caption` and `text`, a caption of the template is looked up: of
several texts, one is drawn. With `seed`, `split`, `index` and `text`, a sample is: such a text holds for that sample of
the spec as it is, and for no other world.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from m3di.errors import UsageError
from m3di.latents.problems import Problem, listed, shortened
from m3di.latents.sampling import Samples
from m3di.latents.spec import SPLITS, Spec
from m3di.latents.splits import is_split_name, misspelt

BY_CAPTION, BY_SAMPLE = ("caption", "text"), ("seed", "split", "index", "text")
COLUMNS = "caption,text or seed,split,index,text"
MAX_BYTES = 64 * 2**20
"""Of a file of texts: a dataset holds it in its spec."""
_HALF = 2**31


def paraphrase_factor(view: str) -> str:
    """Name of the factor that draws one of several texts for a caption."""
    return f"{view}_paraphrase"


def text_factors(view: str) -> dict[str, Any]:
    """The factor of a view with texts, as a spec file would declare it."""
    return {paraphrase_factor(view): {"type": "integer", "kind": "seed", "range": [0, _HALF - 1]}}


@dataclass(frozen=True)
class Texts:
    """What a file of texts holds.

    Attributes:
        by: What a text is looked up by.
        found: The texts of each caption, or of each sample `SEED/SPLIT/INDEX`, in the order of the file.
    """

    by: Literal["caption", "sample"]
    found: dict[str, tuple[str, ...]]

    @property
    def every(self) -> Iterator[str]:
        """All texts."""
        return (text for each in self.found.values() for text in each)


@lru_cache(maxsize=8)
def parse_texts(content: str, where: str) -> Texts:
    """Read the text of a file of texts.

    Raises:
        UsageError: It has other columns, a row that is not whole, an empty text, or two texts of one sample.
    """
    if len(content) > MAX_BYTES:
        raise UsageError(
            "the file of texts is too large",
            where=where,
            got=f"{len(content) / 2**20:.0f} MiB",
            expected=f"at most {MAX_BYTES / 2**20:.0f} MiB: a dataset holds it in its spec",
            next_step="leave out rows that no sample needs",
        )
    reader = csv.reader(io.StringIO(content.removeprefix("\ufeff"), newline=""), strict=True)
    found: dict[str, list[str]] = {}
    try:
        header = tuple(each.strip() for each in next(reader, []))
        if sorted(header) not in (sorted(BY_CAPTION), sorted(BY_SAMPLE)):
            got = ",".join(header)
            raise _wrong("the file of texts has other columns", where, 1, got, COLUMNS, "write the header so")
        for row in reader:
            if row:
                key, text = _read(dict(zip(header, row, strict=False)), len(row) - len(header), where, reader.line_num)
                if key in found and "index" in header:
                    raise _wrong("a sample has two texts", where, reader.line_num, key, "one", "leave one of them out")
                found.setdefault(key, []).append(text)
    except csv.Error as error:
        raise _wrong(
            "this is no CSV", where, reader.line_num, str(error), COLUMNS, "quote texts that hold commas"
        ) from None
    if not found:
        raise _wrong("the file of texts has no row", where, 1, "a header only", COLUMNS, "add rows")
    return Texts("sample" if "index" in header else "caption", {key: tuple(each) for key, each in found.items()})


def _read(row: dict[str, str], surplus: int, where: str, line: int) -> tuple[str, str]:
    """The key and the text of a row."""
    if surplus:
        said = f"{abs(surplus)} {'more' if surplus > 0 else 'fewer'} than the header has"
        raise _wrong("a row has not the columns of the header", where, line, said, COLUMNS, "quote texts with commas")
    text = " ".join(row["text"].split())
    if not text or not text.isprintable():
        raise _wrong("a text is empty, or has a character that is not printed", where, line, repr(row["text"][:60]),
                     "words", "write the text, or leave the row out")  # fmt: skip
    if "caption" in row:
        return " ".join(row["caption"].split()), text
    seed, split, index = (row[name].strip() for name in BY_SAMPLE[:3])
    if not (seed.isdecimal() and index.isdecimal() and is_split_name(split)) or (
        split not in SPLITS and misspelt(split)
    ):
        got = f"seed {seed!r}, split {split!r}, index {index!r}"
        raise _wrong("a row names no sample", where, line, got, "whole numbers, and the name of a split", "correct it")
    return f"{int(seed)}/{split}/{int(index)}", text


def _wrong(what: str, where: str, line: int, got: str, expected: str, step: str) -> UsageError:
    return UsageError(what, where=f"{where}, line {line}", got=got, expected=expected, next_step=step)


def texts_of(spec: Spec, view: str) -> Texts | None:
    """The texts of an observed view; None where it has captions by its template.

    Raises:
        UsageError: The spec does not hold the file, or the file is unsound.
    """
    name = spec.observed[view].view.texts
    if name is None:
        return None
    if name not in spec.texts:
        raise UsageError(
            f"the spec does not hold its texts {name!r}",
            expected="their text, in `texts`",
            next_step="load the spec from its file, which takes them in",
        )
    return parse_texts(spec.texts[name], name)


def text_problems(spec: Spec, view: str) -> Iterator[Problem]:
    """What is wrong with the texts of a view: the file, and worlds that texts of samples do not hold for."""
    path = ("views", view, "texts")
    try:
        texts = texts_of(spec, view)
    except UsageError as error:
        details = error.details
        what = f"{error.what}: {details['where']}" if "where" in details else error.what
        yield Problem(path, what, details.get("got"), details.get("expected"), details.get("next"))
        return
    known = {*SPLITS, *spec.splits}
    named = {key.split("/")[1] for key in texts.found} if texts is not None and texts.by == "sample" else set()
    if named - known:
        yield Problem(
            path,
            f"the file has texts of a split that the spec does not have: {min(named - known)!r}",
            min(named - known),
            listed([*SPLITS, *(each for each in spec.splits if each not in SPLITS)]),
            "correct the name, or add the split to the spec",
        )
        return
    other = "interventions" if spec.interventions else "pairs" if spec.pairs else None
    if texts is not None and texts.by == "sample" and other:
        yield Problem(
            path,
            f"texts by sample do not hold under `{other}`: what they tell of a sample is another there",
            f"{spec.views[view].texts}, by seed, split and index",
            "texts by caption, or captions of the template",
            "give the file the columns caption,text; or, for this run, take `texts` away",
        )


def told_by_texts(samples: Samples, view: str, texts: Texts, told: Sequence[str]) -> list[str]:
    """The texts of samples, in place of the captions that the template gives them.

    Raises:
        UsageError: There is no text for one.
    """
    where = f"view {view!r} of spec {samples.spec.name!r}, {samples.spec.observed[view].view.texts}"
    if texts.by == "sample":
        keys: Sequence[str] = [f"{samples.seed}/{samples.split}/{index}" for index in samples.indices]
    else:
        keys = told
    missing = [row for row, key in enumerate(keys) if key not in texts.found]
    if missing:
        row = missing[0]
        of = f"sample {samples.indices[row]} of {samples.split}, seed {samples.seed}"
        raise UsageError(
            f"{len(missing)} of {samples.n} samples have no text",
            where=where,
            got=f"no {'row' if texts.by == 'sample' else 'text for the caption'} of {of}: {shortened(keys[row])}",
            expected="a row for each",
            next_step="m3di sample writes every caption with its index; add those rows, or ask for fewer samples",
        )
    drawn = samples.views[view][paraphrase_factor(samples.spec.observed[view].declared)]
    choices = [texts.found[key] for key in keys]
    return [each[int(number) * len(each) // _HALF] for number, each in zip(drawn, choices, strict=True)]
