"""Which rows are one sample: by seed, split and number, under processes that are one up to interventions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from m3di import data
from m3di.browse import Look, PageServer, gather_rows, open_look, rows_of_page, write_page
from m3di.browse.same_samples import places_apart
from m3di.latents import Spec, do, load_spec, plain_spec, spec_from_dict
from tests.browse.acting import tables
from tests.browse.conftest import Shown, until
from tests.browse.test_one_file import data_of
from tests.conftest import write_fake_dataset

Serve = Callable[[Look], PageServer]
# Between them: private factors, changes, choosing factors, pairs, frames, regimes, captions that mis-state.
TOUCHED = (
    "m3di",
    "m3di-counterfactual",
    "multiview-crl",
    "misaligned-captions",
    "instantaneous-temporal-causal3dident",
)


def twins_of(*roots: Path) -> dict[int, list[int]]:
    """The twins of each row that has some."""
    gathered = gather_rows(roots)
    found = {row: gathered.twins.of(row) for row in range(gathered.n_rows)}
    return {row: twins for row, twins in found.items() if twins}


def own_spec(folder: Path, text: str) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "spec.yaml").write_text(text, encoding="utf-8")
    return str(folder / "spec.yaml")


@pytest.mark.slow
def test_samples_of_one_noise_are_twins_and_no_others(fake_dataset: Path, tmp_path: Path) -> None:
    twin = write_fake_dataset(tmp_path / "do", interventions=["object_xpos=right"], size_px=16)
    assert twins_of(fake_dataset, twin) == {row: [(row + 28) % 56] for row in range(56)}
    text = "extends: m3di\nname: m3di\nfactors: {object_xpos: {mechanism: {name: constant, value: 2}}}\n"
    own = own_spec(tmp_path / "own", text)
    for name, options in {
        "seed": {"seed": 1},
        "spec": {"spec": "m3di-independent"},
        "own mechanism": {"spec": own},
    }.items():
        other = write_fake_dataset(tmp_path / name, **options)
        assert twins_of(fake_dataset, other) == {}, name


def test_a_sample_of_a_subset_is_that_of_its_source(fake_dataset: Path, tmp_path: Path) -> None:
    table = tables(fake_dataset)
    shape = table["image.object_shape_name"].value_counts().index[0]
    data.subset(fake_dataset, tmp_path / "some", where=f'image.object_shape == "{shape}"')
    rows = np.flatnonzero(table["image.object_shape_name"] == shape)
    assert 1 < len(rows) < 28 and rows[1] > 1  # keys are others there
    expected = {int(row): [28 + number] for number, row in enumerate(rows)}
    expected |= {28 + number: [int(row)] for number, row in enumerate(rows)}
    assert twins_of(fake_dataset, tmp_path / "some") == expected


@pytest.mark.slow
def test_twins_within_a_joined_dataset(fake_dataset: Path, tmp_path: Path) -> None:
    twin = write_fake_dataset(tmp_path / "do", interventions=["object_xpos=right"])
    seed = write_fake_dataset(tmp_path / "seed", seed=1)
    data.merge([fake_dataset, twin, seed], tmp_path / "all", names=["as_is", "right", "other"])
    splits = gather_rows([tmp_path / "all"]).split_names
    assert [name for name in splits if name.endswith("_train")] == ["as_is_train", "right_train", "other_train"]
    assert twins_of(tmp_path / "all") == {row: [(row + 28) % 56] for row in range(56)}


def test_samples_whose_noise_nobody_knows_have_no_twins(fake_dataset: Path, tmp_path: Path) -> None:
    data.export(fake_dataset, "upstream", tmp_path / "published")
    assert twins_of(fake_dataset, tmp_path / "published") == {row: [(row + 28) % 56] for row in range(56)}
    for left in [*(tmp_path / "published").glob("*.json"), *(tmp_path / "published").glob("*/*.parquet")]:
        left.unlink()
    data.import_published(tmp_path / "published", tmp_path / "one")
    data.import_published(tmp_path / "published", tmp_path / "two")
    assert twins_of(tmp_path / "one", tmp_path / "two") == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", TOUCHED)
def test_what_an_intervention_touches_sets_no_process_apart(name: str) -> None:
    spec = load_spec(name).base
    for number, (factor, own) in enumerate(spec.factors.items()):
        seen = [view for view in spec.views if factor in spec.views[view].factors]
        if own.kind == "seed" or not seen or (spec.pairs is not None and factor in spec.pairs.counterfactual):
            continue
        hard = 0 if own.bounds[0] in (0, -np.inf) else float(own.bounds[0])
        value = own.names[0] if own.type == "categorical" else hard
        target, intervention = [(factor, value), (f"{seen[-1]}.{factor}", value), (factor, "uniform")][number % 3]
        assert places_apart(spec, stored(do(spec, {target: intervention}))) == [], target


def stored(spec: Spec) -> Spec:
    """As a dataset has it."""
    return spec_from_dict(plain_spec(spec), where="stored", stored=True)


def test_interventions_of_both_are_left_aside_and_nothing_else() -> None:
    spec = load_spec("m3di")
    one, two = do(spec, object_xpos="right"), do(spec, {"image.object_ypos": "top"})
    assert places_apart(one, two) == []
    assert places_apart(one, load_spec("m3di-independent")) != []
    text = plain_spec(spec) | {"given": {"condition": "object_xpos - object_ypos != 0"}}
    given = spec_from_dict(text, where="given")
    assert places_apart(given, spec) == ["given taken away"]
    assert places_apart(given, do(given, object_xpos="right")) == []


@pytest.mark.slow
def test_a_third_process_makes_no_twins_of_two(fake_dataset: Path, tmp_path: Path) -> None:
    """A twin of two datasets that differ in just the mechanism which it replaces."""
    text = "extends: m3di\nname: own\nfactors: {object_xpos: {mechanism: {name: constant, value: 2}}}\n"
    own = write_fake_dataset(tmp_path / "own", spec=own_spec(tmp_path / "spec", text))
    twin = write_fake_dataset(tmp_path / "do", interventions=["object_xpos=left"])
    found = twins_of(fake_dataset, own, twin)
    assert (found[0], found[28], found[56]) == ([56], [56], [0, 28])


@pytest.mark.parametrize(("n", "expected"), [(1, 1), (2, 2), (7, 6), (20, 20), (56, 56), (90, 56)])
@pytest.mark.slow
def test_twins_come_together(fake_dataset: Path, tmp_path: Path, n: int, expected: int) -> None:
    twin = write_fake_dataset(tmp_path / "do", interventions=["object_xpos=right"])
    rows = rows_of_page(open_look([fake_dataset, twin]), n).tolist()
    assert len(rows) == len(set(rows)) == expected and rows == sorted(rows)
    if n > 1:
        assert {row % 28 for row in rows if row < 28} == {row % 28 for row in rows if row >= 28}


def test_twins_come_together_where_few_rows_have_some(fake_dataset: Path, tmp_path: Path) -> None:
    data.subset(fake_dataset, tmp_path / "some", n=3, splits=["train"])
    rows = rows_of_page(open_look([fake_dataset, tmp_path / "some"]), 12).tolist()
    assert 10 <= len(rows) <= 12 and rows[0] == 0
    assert [row for row in rows if row >= 28] == [28 + row for row in rows if row < 3]


@pytest.mark.slow
def test_the_page_shows_the_same_sample_of_a_subset(
    fake_dataset: Path, tmp_path: Path, serve: Serve, shown: Shown
) -> None:
    table = tables(fake_dataset)
    shape = table["image.object_shape_name"].value_counts().index[0]
    data.subset(fake_dataset, tmp_path / "some", where=f'image.object_shape == "{shape}"')
    rows = np.flatnonzero(table["image.object_shape_name"] == shape)
    look = open_look([fake_dataset, tmp_path / "some"])
    page = shown.goto(f"{serve(look).url}#open={rows[1]}")
    page.wait_for_selector(".twins")
    choices = page.get_by_label("compared with").locator("option").all_inner_texts()
    assert choices == ["image", "image of some 000000001"]
    assert page.inner_text(".differ") == "No factor has another value."
    until(
        page, "document.querySelector('.twins figure:last-child figcaption').textContent.startsWith('difference: 0 ')"
    )
    other = next(row for row in range(28) if row not in rows)
    page.evaluate(f"location.hash = 'open={other}'")
    key = table["key"][other]
    until(page, f"document.querySelector('#sample-title').textContent.includes('{key}')")
    assert page.locator(".twins").count() == 0


@pytest.mark.slow
def test_one_file_shows_the_twins_that_are_in_it(fake_dataset: Path, tmp_path: Path, shown: Shown) -> None:
    twin = write_fake_dataset(tmp_path / "do", interventions=["object_xpos=right"], n_train=7, n_val=4, n_test=4)
    out = tmp_path / "page.html"
    assert write_page(open_look([fake_dataset, twin]), out, 15) <= 15
    rows = data_of(out)["rows"]
    pairs = [(row, rows[other]) for row in rows for other in row["twins"]]
    assert len(pairs) >= 6
    for row, other in pairs:
        assert (row["split"], row["key"]) == (other["split"], other["key"]) and row["dataset"] != other["dataset"]
    alone = [row for row in rows if not row["twins"]]
    assert alone and all(row["dataset"] == 0 and row["key"] > "000000006" for row in alone)
    row, other = pairs[0]
    page = shown.goto(f"{out.as_uri()}#open={row['row']}")
    page.wait_for_selector(".twins")
    assert page.get_by_label("compared with").locator("option").all_inner_texts() == ["image", "image of do"]
    value = other["image.object_xpos_name"]
    assert value == "right" and (row["image.object_xpos_name"] == value or f"→ {value}" in page.inner_text(".differ"))


@pytest.mark.slow
def test_pictures_of_two_sizes_have_no_difference(
    fake_dataset: Path, tmp_path: Path, serve: Serve, shown: Shown
) -> None:
    small = write_fake_dataset(tmp_path / "small", size_px=16)
    page = shown.goto(f"{serve(open_look([fake_dataset, small])).url}#open=3")
    page.wait_for_selector(".twins")
    said = "document.querySelector('.twins figure:last-child figcaption').textContent"
    until(page, f"{said} === 'no difference: one picture has 32 px, the other 16 px'")
