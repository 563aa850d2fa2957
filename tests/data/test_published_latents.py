"""Readers of the published layout take the numbers of an export for what they are; else it is refused."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from m3di import Multimodal3DIdent
from m3di.data import export, import_published, verify
from m3di.data.layouts.published_latents import IMAGE_COLUMNS, no_place, published_spec, untold_note
from m3di.errors import M3diError
from m3di.latents import load_spec, parse_spec
from tests.conftest import write_fake_dataset

HEAD = "extends: m3di\nname: other\n"
REORDERED = f"""{HEAD}factors:
  object_shape: {{values: [horse, head]}}
  object_xpos: {{values: [right, center, left], physical: [3, 0, -3]}}
  object_alpharot: {{range: [0, 45], physical: [0, 0.7853981633974483]}}
  text_palette: {{values: [css4]}}
  text_color: {{palettes: [css4]}}
"""


def made(folder: Path, spec: str) -> Path:
    """A dataset of a spec file, or of a built-in spec."""
    path = folder / "other.yaml"
    if "\n" in spec:
        path.write_text(spec)
        spec = str(path)
    return write_fake_dataset(folder / "data", spec=spec, size_px=8)


@pytest.mark.slow
@pytest.mark.parametrize("spec", [REORDERED, "m3di-discrete", "m3di"], ids=["reordered", "discrete", "m3di"])
def test_what_an_export_says_is_read_as_it_was_meant(spec: str, tmp_path: Path) -> None:
    root, up = made(tmp_path, spec), tmp_path / "up"
    export(root, "upstream", up, on_note=lambda note: None)
    # Beside our plan and table, it is the same dataset.
    assert import_published(up, tmp_path / "same").fingerprint == verify(root).fingerprint
    for path in (up / "m3di.json", *up.glob("*/m3di.parquet")):
        path.unlink()
    import_published(up, tmp_path / "read")
    ours, theirs = (Multimodal3DIdent(each).table.to_pandas() for each in (root, tmp_path / "read"))
    spec_read, spec_made = (Multimodal3DIdent(each).spec for each in (tmp_path / "read", root))
    for name in IMAGE_COLUMNS:
        factor = spec_read.factors[name]
        if factor.type == "categorical":
            assert theirs[f"image.{name}_name"].tolist() == ours[f"image.{name}_name"].tolist()
        if factor.physical_values is not None:
            column = factor.physical_column(f"image.{name}")
            physical = spec_made.factors[name].physical(ours[f"image.{name}"])
            assert theirs[column].to_numpy() == pytest.approx(physical, abs=1e-12)
    assert theirs["text.text_color_name"].tolist() == ours["text.text_color_name"].tolist()


def test_labels_are_published_numbers(tmp_path: Path) -> None:
    export(made(tmp_path, REORDERED), "upstream", tmp_path / "up", on_note=lambda note: None)
    names = pd.read_parquet(tmp_path / "up" / "train" / "m3di.parquet")
    for file, view in (("latents_image.csv", "image"), ("latents_text.csv", "text")):
        read = pd.read_csv(tmp_path / "up" / "train" / file)
        numbers = {"horse": 5, "head": 6}
        assert read["object_shape"].tolist() == [numbers[each] for each in names[f"{view}.object_shape_name"]]
        numbers = {"left": 0, "center": 1, "right": 2}
        assert read["object_xpos"].tolist() == [numbers[each] for each in names[f"{view}.object_xpos_name"]]
    assert set(read["object_shape"]) == {5, 6}
    published = sorted(published_spec().factors["text_color"].names)
    assert [published[index] for index in read["object_color_index"]] == read["object_color_name"].tolist()


@pytest.mark.parametrize("spec", ["m3di", "m3di-independent", "m3di-discrete"])
def test_the_layout_has_a_place_for(spec: str) -> None:
    assert no_place(load_spec(spec)) is None


BRIEF = (
    "templates: {brief: {name: brief, language: en, reads: {text_color: label}, phrasings: {a: '{{ text_color }}'}}}"
)


@pytest.mark.parametrize(
    ("change", "got", "expected"),
    [
        ("factors: {object_shape: {values: [cow, sphere]}}", "sphere as object_shape", "teapot, hare"),
        (
            "factors: {object_xpos: {values: [left, far right], physical: [-3, 3]}}",
            "far right as object_xpos",
            "left, center, right",
        ),
        ("factors: {object_xpos: {physical: [-2, 0, 2]}}", "object_xpos of -2, 0, 2 m", "-3, 0, 3 m, as left,"),
        ("factors: {object_ypos: {values: [bottom, mid, top]}}", "object_ypos of -3, 0, 3 m", "3, 0, -3 m, as bottom,"),
        ("factors: {object_zpos: {physical: [-1, 2]}}", "object_zpos from -1 to 2 m", "at least -1, and at most 1 m"),
        (
            "factors: {spotlight_pos: {physical: [0, 3.141592653589793]}}",
            "spotlight_pos from 0 to 3.142 rad",
            "at most 1.571 rad",
        ),
        (
            "factors: {text_color: {palettes: [mine], colors: {mine: {red: '#00ff00', blue: '#0000ff'}}, "
            "mechanism: {name: uniform, parents: null}}}",
            "another colour called red as text_color",
            "the published colours",
        ),
        (
            "templates: {six: {name: six, language: en, reads: {text_color: label}, phrasings: "
            "{a: '{{ text_color }}', b: b, c: c, d: d, e: e, f: f}}}\nviews: {text: {template: six}}",
            "6 values of text_phrasing",
            "at most 5",
        ),
        ("views: {image: {axes: world}}", "axes: world", "axes: image"),
        ("splits: {train: 4, val: 2, test: 2, turned: {n: 2, views: {image: {axes: world}}}}", "axes: world", "axes"),
        ("views: {image: {raised: 0.5}}", "raised: 0.5", "raised: 0.0"),
        ("factors: {spotlight_color: {wheel: hsv}}", "`wheel: hsv` of spotlight_color", "wheel: published"),
        (
            f"{BRIEF}\nviews: {{text: {{template: brief, factors: {{object_ypos: null}}}}}}",
            "'text' without object_ypos",
            "object_shape, object_xpos",
        ),
    ],
)
def test_what_readers_would_take_for_something_else_has_no_place(change: str, got: str, expected: str) -> None:
    found = no_place(parse_spec(f"{HEAD}{change}\n", where="other.yaml"))
    assert found is not None
    assert got in found.got and expected in found.expected


def test_such_an_export_is_refused(tmp_path: Path) -> None:
    root = made(tmp_path, f"{HEAD}views: {{image: {{axes: world}}}}\n")
    with pytest.raises(
        M3diError,
        match=r"has no place for this dataset(?s:.)*data\n(?s:.)*axes: world(?s:.)*axes: image(?s:.)*imagefolder",
    ):
        export(root, "upstream", tmp_path / "up")
    assert not (tmp_path / "up").exists()


def test_image_and_text_have_one_position(tmp_path: Path) -> None:
    views = "{image: {factors: {object_ypos: private}}, text: {factors: {object_ypos: private}}}"
    root = made(tmp_path, f"{HEAD}views: {views}\n")
    with pytest.raises(
        M3diError, match=r"no place(?s:.)*row \d+(?s:.)*another object_ypos in the text than in the image"
    ):
        export(root, "upstream", tmp_path / "up")
    assert not (tmp_path / "up").exists()


def test_an_export_says_where_captions_err(tmp_path: Path) -> None:
    root = made(tmp_path, f"{HEAD}views: {{text: {{misstates: {{probability: {{object_xpos: 0.5}}}}}}}}\n")
    notes: list[str] = []
    export(root, "upstream", tmp_path / "up", on_note=notes.append)
    (note,) = notes
    assert "misstate what latents_text.csv states: text_said_object_xpos say where" in note
    assert untold_note(load_spec("m3di")) is None


def test_what_is_constant_in_the_published_spec_is_so_in_its_files(tmp_path: Path) -> None:
    root, up = made(tmp_path, f"{HEAD}views: {{image: {{factors: {{object_zpos: private}}}}}}\n"), tmp_path / "up"
    export(root, "upstream", up, on_note=lambda note: None)
    assert import_published(up, tmp_path / "same").fingerprint == verify(root).fingerprint
    for path in (up / "m3di.json", *up.glob("*/m3di.parquet")):
        path.unlink()
    for read in (Multimodal3DIdent, lambda place: import_published(place, tmp_path / "back")):
        with pytest.raises(
            M3diError, match=r"image\.object_zpos is 0 in all published(?s:.)*row 0(?s:.)*keep m3di\.json"
        ):
            read(up)
