"""Rows of all splits and datasets, numbered through."""

from __future__ import annotations

import json
from pathlib import Path

import fsspec
import numpy as np
import pandas as pd
import pytest
import yaml

from m3di import data
from m3di.browse import gather_rows
from m3di.browse.described import description
from m3di.browse.gathered import MAX_EXACT, _check_comparable, _exact, _narrow
from m3di.browse.processes import graph_of
from m3di.errors import DataError, UsageError
from m3di.latents import load_spec, plain_spec, spec_from_dict
from tests.conftest import BUILT_IN, write_fake_dataset


def tables(root: Path) -> pd.DataFrame:
    """What pandas reads of all splits, in the order of the rows."""
    return pd.concat(
        [pd.read_parquet(root / f"{each}.parquet") for each in ("train", "val", "test")], ignore_index=True
    )


def test_rows_are_those_of_all_splits_in_their_order(fake_dataset: Path) -> None:
    gathered = gather_rows([fake_dataset])
    expected = tables(fake_dataset)
    assert gathered.n_rows == 28
    for name in ("image.object_shape", "image.object_color", "image.object_visible_px", "text.text_color"):
        np.testing.assert_array_equal(gathered.numbers(name), expected[name].to_numpy())
    found = gathered.rows([0, 19, 20, 27, 3])
    assert [each["row"] for each in found] == [0, 19, 20, 27, 3]
    assert [each["split"] for each in found] == ["train", "train", "val", "test", "train"]
    for each in found:
        own = expected.iloc[each["row"]]
        assert each["key"] == own["key"]
        assert each["text.caption"] == own["text.caption"]
        assert each["image.object_color"] == own["image.object_color"]
        assert not [name for name in each if name.endswith(("_offset", "_size")) or name == "shard"]


def test_files_of_a_row_are_its_own(fake_dataset: Path) -> None:
    gathered = gather_rows([fake_dataset])
    expected = tables(fake_dataset)
    for row in (0, 19, 20, 25, 27):
        block, own = gathered.place(row)
        here = expected.iloc[row]
        with (fake_dataset / here["shard"]).open("rb") as shard:
            shard.seek(here["png_offset"])
            assert block.files.read(own, "image") == shard.read(here["png_size"])


@pytest.mark.parametrize("row", [-1, 28])
def test_a_row_that_is_not_there(fake_dataset: Path, row: int) -> None:
    with pytest.raises(IndexError, match=f"row {row} of 28"):
        gather_rows([fake_dataset]).place(row)


def test_captions_are_searched_without_regard_to_case(fake_dataset: Path) -> None:
    captions = tables(fake_dataset)["text.caption"]
    word = captions[0].split()[-1].strip(".")
    expected = captions.str.contains(word, case=False, regex=False).to_numpy()
    assert 0 < expected.sum() < 28
    np.testing.assert_array_equal(gather_rows([fake_dataset]).contains(word.upper()), expected)
    assert not gather_rows([fake_dataset]).contains(".*").any()  # no pattern


@pytest.mark.slow
def test_datasets_beside_each_other(fake_dataset: Path, tmp_path: Path) -> None:
    other = write_fake_dataset(tmp_path / "m3di", interventions=["object_color=uniform"])
    gathered = gather_rows([fake_dataset, other])
    assert gathered.n_rows == 56
    assert gathered.names == ("m3di (1)", "m3di (2)")
    np.testing.assert_array_equal(gathered.numbers("dataset"), np.repeat([0, 1], 28))
    np.testing.assert_array_equal(gathered.numbers("split"), np.tile(np.repeat([0, 1, 2], [20, 4, 4]), 2))
    assert gathered.rows([28])[0]["key"] == gathered.rows([0])[0]["key"]


@pytest.mark.slow
def test_each_dataset_has_the_size_of_its_own_images(fake_dataset: Path, tmp_path: Path) -> None:
    small = write_fake_dataset(tmp_path / "small", size_px=16)
    assert [each["size_px"] for each in description(gather_rows([fake_dataset, small]))["datasets"]] == [32, 16]


def test_datasets_of_other_factors_are_refused(fake_dataset: Path, tmp_path: Path) -> None:
    pairs = write_fake_dataset(tmp_path / "pairs", spec="image-pairs")
    with pytest.raises(UsageError, match="other views, so that they cannot be shown beside each other"):
        gather_rows([fake_dataset, pairs])
    spec = tmp_path / "shapes.yaml"
    spec.write_text("extends: m3di\nname: fewer\nfactors: {object_shape: {values: [hare, teapot]}}\n")
    with pytest.raises(UsageError, match="the values of object_shape mean other things"):
        gather_rows([fake_dataset, write_fake_dataset(tmp_path / "fewer", spec=str(spec))])
    with pytest.raises(DataError, match="there is no m3di dataset here"):
        gather_rows([tmp_path])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("one", "other", "told"),
    [
        ("range: [-1, 1], physical: [-3, 3]", "range: [-2, 2], physical: [-3, 3]", r"range: -1.0, 1.0 \| -2.0, 2.0"),
        ("range: [-1, 1], physical: [-3, 3]", "range: [-1, 1], physical: [-6, 6]", r"physical: -3.0, 3.0 \| -6.0, 6.0"),
        ("range: [-1, 1], physical: [-3, 3]", "range: [-1, 1]", r"physical: -3.0, 3.0 \| none"),
        ("range: [-1, 1], unit: m", "range: [-1, 1], unit: cm", r"unit: m \| cm"),
        ("range: [0, 1], kind: scalar", "range: [0, 1], kind: position", r"kind: scalar \| position"),
        ("range: [0, 9]", "range: [0, 9], type: integer", r"type: continuous \| integer"),
    ],
)
def test_numbers_that_mean_other_things_are_refused(tmp_path: Path, one: str, other: str, told: str) -> None:
    roots = []
    for number, text in enumerate((one, other)):
        factor = {"type": "continuous", "kind": "position"} | yaml.safe_load(f"{{{text}}}")
        views = {"text": {"factors": {"worth": "private"}}}
        spec = {"extends": "m3di", "name": "worth", "factors": {"worth": factor}, "views": views}
        path = tmp_path / f"{number}.yaml"
        path.write_text(json.dumps(spec))
        roots.append(write_fake_dataset(tmp_path / str(number), spec=str(path), size_px=16))
    gather_rows([roots[0], roots[0]])
    with pytest.raises(UsageError, match=f"the values of worth mean other things(.|\n)*got: +{told}\n"):
        gather_rows(roots)


@pytest.mark.slow
def test_mechanisms_may_be_others(fake_dataset: Path, tmp_path: Path) -> None:
    assert gather_rows([fake_dataset, write_fake_dataset(tmp_path / "two", spec="m3di-independent")]).n_rows == 56


def test_a_view_of_another_modality_is_refused() -> None:
    plain = plain_spec(load_spec("m3di"))
    plain["factors"]["more_phrasing"] = plain["factors"]["text_phrasing"]  # which a text has, and an image has not
    specs = [
        spec_from_dict({**plain, "views": {**plain["views"], "more": plain["views"][like]}}, where=like)
        for like in ("image", "text")
    ]
    with pytest.raises(UsageError, match=r"the view more is of two modalities(.|\n)*got: +image \| text"):
        _check_comparable("one", specs[0], "other", specs[1])


def test_the_published_layout_and_urls(fake_dataset: Path, tmp_path: Path) -> None:
    published = tmp_path / "published"
    data.export(fake_dataset, "upstream", published)
    gathered = gather_rows([published])
    assert gathered.n_rows == 28
    block, own = gathered.place(21)
    ours, row = gather_rows([fake_dataset]).place(21)
    assert block.files.read(own, "image") == ours.files.read(row, "image")
    assert gathered.rows([21])[0]["text.caption"] == tables(fake_dataset)["text.caption"][21]

    fsspec.filesystem("memory").put(str(fake_dataset), "/browse", recursive=True)
    remote = gather_rows(["memory://browse"])
    block, own = remote.place(21)
    assert block.files.read(own, "image") == ours.files.read(row, "image")


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([0, 255], "uint8"), ([-1, 5], "int16"), ([0, 256], "int16"), ([0, 40_000], "uint16"), ([-40_000, 5], "int32"),
        ([0, 3_000_000_000], "uint32"), ([0, 1 << 40], "float64"), ([], "uint8"),
    ],
)  # fmt: skip
def test_integers_take_the_bytes_that_they_need(values: list[int], dtype: str) -> None:
    found = _narrow(np.array(values, np.int64))
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, values)


def test_numbers_that_javascript_would_round_are_texts() -> None:
    assert [_exact(each) for each in (MAX_EXACT + 1, MAX_EXACT, float("nan"), 0.5, None)] == [
        str(MAX_EXACT + 1), MAX_EXACT, "nan", 0.5, None,
    ]  # fmt: skip


@pytest.mark.slow
def test_where_files_lie_is_no_column(tmp_path: Path) -> None:
    """Several pictures of a sample have names with a dot, as factors have; a factor may end as they do."""
    (tmp_path / "spec.yaml").write_text(
        "extends: m3di-counterfactual\nname: sizes\nfactors:\n  shoe_size: "
        "{type: categorical, values: [s, m], kind: label}\n"
        "views: {text: {factors: {shoe_size: private}}}\n"
    )
    root = write_fake_dataset(tmp_path / "data", spec=str(tmp_path / "spec.yaml"), size_px=16)
    gathered = gather_rows([root])
    (row,) = gathered.rows([0])
    for names in (set(row), {each["name"] for each in description(gathered)["columns"]}):
        assert "text.shoe_size" in names
        assert not [each for each in names if each.endswith(("png_offset", "png_size", "txt_offset", "txt_size"))]


@pytest.mark.parametrize("spec", BUILT_IN)
def test_every_built_in_spec_has_a_graph_to_draw(spec: str) -> None:
    for graph in graph_of(load_spec(spec)):
        nodes = {each["name"] for each in graph["nodes"]}
        assert nodes
        assert all(nodes >= {parent, child} for parent, child, _ in graph["edges"])


@pytest.mark.slow
def test_a_graph_tells_earlier_parents_from_present_ones_and_what_a_regime_sets() -> None:
    (graph,) = graph_of(load_spec("instantaneous-temporal-causal3dident"))
    assert ("object_betarot", "object_xpos", 0) in graph["edges"]
    marks = {each["name"]: each["marks"] for each in graph["nodes"]}
    assert marks["object_xpos"] == ["↻", "⚒"] and marks["render_seed"] == []
    (graph,) = graph_of(load_spec("temporal-causal3dident"))
    assert ("object_betarot", "object_xpos", 1) in graph["edges"]
    assert not any(parent == child or child.startswith("intervened") for parent, child, _ in graph["edges"])
