"""Names that are none, and names that would meet: columns, files and fields that two parts would call their own."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator
from typing import Any

from m3di.latents.name_pattern import MAX_NAME, NAME
from m3di.latents.problems import Problem
from m3di.latents.spec import Spec

LATENTS = "latents"
"""What the file of a sample's latents is called in a dataset."""

RESERVED_VIEWS = (LATENTS, "caption", "index", "key", "shard", "count")
"""A view has its name as file extension, as column prefix and as field of an item, beside these."""

FIELD_PREFIXES = ("z_", "caption_", "origin_")
"""Fields and columns of a dataset that are made of a view's name, or are no view's."""


def spelling_problems(data: dict[str, Any]) -> Iterator[Problem]:
    """Names become columns, file extensions and words of a template."""
    expected = "letters, digits and _, the first one a letter"
    for section in ("factors", "views"):
        names = data.get(section)
        for name in map(str, names if isinstance(names, dict) else ()):
            if not NAME.fullmatch(name) or len(name) > MAX_NAME:
                spelt = re.sub(r"[^A-Za-z0-9_]", "_", name)[:40]
                spelt = spelt if spelt[:1].isalpha() else f"x{spelt}"
                yield Problem((section, name), f"a name is {expected}", repr(name), expected, f"for example {spelt}")


def name_problems(spec: Spec) -> Iterator[Problem]:
    """Names of views and factors that are taken."""
    expected = "a name that no file, column or field of a dataset has"
    folded: dict[str, str] = {}
    for name in spec.views:
        prefix = next((each for each in FIELD_PREFIXES if name.lower().startswith(each)), None)
        if name.lower() in RESERVED_VIEWS or prefix or keyword.iskeyword(name):
            why = f"begins with {prefix!r}, as fields of a dataset do" if prefix else "is reserved in a dataset"
            why = "is a word of Python" if keyword.iskeyword(name) else why
            yield Problem(
                ("views", name),
                f"a view cannot be called {name!r}: it {why}",
                repr(name),
                expected,
                f"call it {name}_view" if not prefix else "call it otherwise",
            )
        if name.lower() in folded:
            yield Problem(
                ("views", name),
                f"the views {folded[name.lower()]!r} and {name!r} differ in capitals only: on "
                "some disks, their files would be one",
                repr(name),
                "names that differ in their letters",
                "rename one of them",
            )
        folded.setdefault(name.lower(), name)
    yield from _made_views(spec)
    yield from _columns(spec)


def _made_views(spec: Spec) -> Iterator[Problem]:
    """Names of views that pairs and sequences make."""
    made: list[tuple[str, str]] = []
    for name in spec.views:
        made += [
            (f"{name}_do_{factor}", "pairs.counterfactual")
            for factor in dict.fromkeys(spec.pairs.counterfactual if spec.pairs else ())
        ]
        if spec.pairs and spec.pairs.permuted_content:
            made.append((f"{name}_permuted", "pairs.permuted_content"))
        if spec.sequence and spec.views[name].kind.has_frames and not spec.is_chain:
            width = len(str(spec.sequence.length - 1))
            made += [(f"{name}_t{frame:0{width}d}", "sequence") for frame in range(spec.sequence.length)]
    seen = set(spec.views)
    for name, by in made:
        if name in seen:
            yield Problem(
                ("views", name),
                f"{by} makes a view {name!r} too",
                repr(name),
                "a name that no other view has",
                "rename the view",
            )
        seen.add(name)


def _columns(spec: Spec) -> Iterator[Problem]:
    """Columns of a view: each factor's own, `_name`, `_hex` and `_UNIT`, the annotations of an image, the caption."""
    expected = "a name that no column of the table has"
    for view, declared in spec.views.items():
        kind = declared.kind
        taken = dict(kind.columns)
        for name in declared.factors:
            if name not in spec.factors:
                continue
            if name in kind.reserved:
                yield Problem(
                    ("factors", name),
                    f"a factor of a {kind.name} cannot be called {name!r}: {kind.reserved[name]}",
                    repr(name),
                    "another name",
                    "rename the factor",
                )
            for column in spec.factors[name].columns(name):
                if column in taken:
                    yield Problem(
                        ("factors", name),
                        f"its column {column!r} of view {view!r} is taken by {taken[column]}",
                        repr(name),
                        expected,
                        "rename the factor",
                    )
                taken.setdefault(column, f"the factor {name!r}")
