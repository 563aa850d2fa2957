from __future__ import annotations

from pathlib import Path

import pytest

from m3di.errors import UsageError
from m3di.latents import load_spec, parse_spec, spec_from_dict, spec_names

GOOD = """
name: small
factors:
  a: {type: categorical, kind: label, values: [x, y]}
  b: {type: continuous, kind: angle, range: [0, 1]}
views:
  image: {modality: image, factors: {a: content, b: {role: constant, value: 0.5}}}
splits: {train: 10}
"""


def test_builtin_specs_load() -> None:
    assert "m3di" in spec_names()
    for name in spec_names():
        assert load_spec(name).name == name


def test_a_spec_survives_its_plain_form() -> None:
    spec = load_spec("m3di")
    plain = spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert spec_from_dict(plain, where="test") == spec


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(GOOD)
    assert load_spec(path).name == "small"


def test_unknown_name_has_the_near_match() -> None:
    with pytest.raises(UsageError, match=r"no spec is called 'm3d'(?s:.)*did you mean 'm3di'"):
        load_spec("m3d")


def test_missing_file() -> None:
    with pytest.raises(UsageError, match=r"no such spec file(?s:.)*nowhere\.yaml"):
        load_spec("nowhere.yaml")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("splits: {train: 10}", "splits: {train: 10}\nsplit: 3", "split: unknown key"),
        ("values: [x, y]", "value: [x, y]", r"factors\.a\.value: unknown key"),
        ("values: [x, y]", "palettes: [xkcd], values: [x, y]", "either `values` or `palettes`"),
        ("range: [0, 1]", "range: [1, 0]", "least < greatest"),
        ("range: [0, 1]", "physical: [1], range: [0, 1]", "`physical` needs 2 numbers, got 1"),
        ("value: 0.5", "value: 1.5", r"views\.image\.factors\.b: 1\.5 is outside \[0\.0, 1\.0\]"),
        (", value: 0.5", "", "`value` belongs to the role `constant`"),
        ("{a: content", "{aa: content", "no factor is called 'aa'; did you mean 'a'"),
        ("{modality: image", "{modality: image, template: m3di", "`template` belongs to the modality `text`"),
        ("{modality: image,", "{modality: text, template: m3dd,", r"template: no caption template is called 'm3dd'"),
        ("{modality: image,", "{modality: text, template: m3di,", "reads 'object_shape', which the view does not see"),
        ("{modality: image,", "{modality: text, template: m3di,", "a text view needs the factor 'text_phrasing'"),
        ("range: [0, 1]", "range: [0, 1], mechanism: {name: binnd, parents: [a]}", "did you mean 'binned'"),
        ("range: [0, 1]", "range: [0, 1], mechanism: {name: binned}", "binned takes 1 parents, got 0"),
        ("range: [0, 1]", "range: [0, 1], mechanism: {name: binned, parents: [aa]}", "no factor is called 'aa'"),
        ("range: [0, 1]", "range: [0, 1], mechanism: {name: nearest_color, parents: [a, a]}", "gives no continuous"),
        ("range: [0, 1]", "range: [0, 1], mechanism: {name: binned, parents: [b]}", "a cycle: b -> b"),
        (
            "range: [0, 1]",
            "range: [0, 1], mechanism: {name: binned, parents: [a], strength: 2}",
            r"factors\.b\.mechanism: strength: .*less than or equal to 1",
        ),
        (
            "range: [0, 1]",
            "range: [0, 1], mechanism: {name: binned, parents: [a], strenght: 1}",
            r"factors\.b\.mechanism: strenght: ",
        ),
    ],
)
def test_each_problem_names_its_place(old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(UsageError, match=message):
        parse_spec(GOOD.replace(old, new), where="mine.yaml")


def test_all_problems_in_one_report() -> None:
    bad = GOOD.replace("values: [x, y]", "vals: [x, y]").replace("range: [0, 1]", "rang: [0, 1]")
    with pytest.raises(UsageError, match=r"has 2 problems:(?s:.)*vals(?s:.)*rang(?s:.)*mine\.yaml") as error:
        parse_spec(bad, where="mine.yaml")
    assert error.value.exit_code == 2


def test_phrasings_must_be_those_of_the_template() -> None:
    plain = load_spec("m3di").model_dump(mode="json", by_alias=True, exclude_none=True)
    plain["factors"]["text_phrasing"]["values"] = ["sits", "shows"]
    with pytest.raises(
        UsageError, match=r"factors\.text_phrasing: template 'm3di' has the phrasings sits, shows, colored"
    ):
        spec_from_dict(plain, where="test")


@pytest.mark.parametrize(("text", "message"), [("a: [", "not valid YAML"), ("- 1", "not a mapping")])
def test_not_a_spec_at_all(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_spec(text, where="mine.yaml")
