from __future__ import annotations

from pathlib import Path

import pytest

from m3di.errors import M3diError, UsageError
from m3di.latents import load_spec, parse_spec, plain_spec, sample, spec_from_dict, spec_names, to_yaml
from tests.conftest import BUILT_IN

GOOD = """
name: small
factors:
  a: {type: categorical, kind: label, values: [x, y]}
  b: {type: continuous, kind: angle, range: [0, 1]}
views:
  image: {modality: image, shape: teapot, factors: {a: RECORDED, b: {role: constant, value: 0.5, recorded: true}}}
splits: {train: 10}
""".replace("RECORDED", "{role: content, recorded: true}")
A = "a: {role: content, recorded: true}"


@pytest.mark.slow
def test_builtin_specs_load() -> None:
    assert "m3di" in spec_names()
    for name in spec_names():
        assert load_spec(name).name == name


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_spec_survives_its_plain_form(name: str) -> None:
    spec = load_spec(name)
    assert spec_from_dict(plain_spec(spec), where="test") == spec
    assert parse_spec(to_yaml(spec), where="test") == spec


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
        (", value: 0.5", "", "the role `constant` needs `value`"),
        ("{a: {role", "{aa: {role", "no factor is called 'aa'; did you mean 'a'"),
        ("{modality: image", "{modality: image, template: m3di", "`template` belongs to the modality `text`"),
        (
            "{modality: image, shape",
            "{modality: text, template: m3di, shape",
            "`shape` belongs to the modality `image`",
        ),
        ("shape: teapot, ", "", "an image view needs `shape` or the factor `object_shape`"),
        ("shape: teapot", "shape: teapot, lights: []", "`lights` is empty"),
        ("shape: teapot", "shape: teapot, ligths: [sun]", "ligths: unknown key; did you mean 'lights'"),
        ("image: {", "my-image: {", "views.my-image: a name is letters, digits and _"),
        ("  a: {type", "  1a: {type", "factors.1a: a name is letters, digits and _"),
        ("values: [x, y]", "values: [x, x]", "names a value twice"),
        (
            "type: continuous, kind: angle, range: [0, 1]",
            "type: integer, kind: angle",
            "an integer factor needs `range`",
        ),
        ("range: [0, 1]", "physical: [0, 1]", "`physical` needs `range`"),
        ("kind: angle, range: [0, 1]", "kind: angle", "uniform needs a factor with `range`"),
        (
            A,
            "a: {role: content, change: {name: perturb, probability: 1}}",
            "`change` belongs to the role",
        ),
        (
            A,
            "a: {role: style, change: {name: perturb}}",
            r"factors\.a\.change\.probability: Field required",
        ),
        (
            A,
            "a: {role: style, change: {name: perturb, parents: [b], probability: 1}}",
            "leave `parents` out",
        ),
        (
            A,
            "a: {role: private, mechanism: {name: unifrom}}",
            "did you mean 'uniform'",
        ),
        ("splits:", "pairs: {counterfactual: [c]}\nsplits:", "pairs.counterfactual: no factor is called 'c'"),
        ("splits:", "pairs: {counterfactual: [b]}\nsplits:", "pairs.counterfactual: 'b' is constant in every view"),
        ("splits:", "pairs: {counterfactual: [a]}\nsequence: {length: 2}\nsplits:", "pairs: not together with"),
        ("splits:", "sequence: {length: 1}\nsplits:", r"sequence\.length: .*greater than or equal to 2"),
        (
            "values: [x, y]",
            "values: [x, y], mechanism: {name: categorical, weights: [1, 2, 3]}",
            "2 weights are needed",
        ),
        ("values: [x, y]", "values: [x, y], mechanism: {name: table, rows: [[1]]}", r"weights of shape \(2,\)"),
        (
            "range: [0, 1]",
            "range: [0, 1], mechanism: {name: affine, parents: [a], weights: [2]}",
            "their sum at most 1",
        ),
        (
            "range: [0, 1]",
            "range: [0, 1], mechanism: {name: linear_gaussian, parents: [a], weights: [], std: 1}",
            "1 weights are needed",
        ),
        (
            "{modality: image, shape: teapot,",
            "{modality: text, template: m3dd,",
            r"views\.image\.template: no caption template is called 'm3dd'",
        ),
        (
            "{modality: image, shape: teapot,",
            "{modality: text, template: m3di,",
            "template 'm3di' reads 'object_shape', which the view does not see",
        ),
        ("range: [0, 1]", "range: [0, 1], mechanism: {name: binnd, parents: [a]}", "did you mean 'binned'"),
        ("range: [0, 1]", "range: [0, 1], mechanism: {name: binned}", "binned takes 1 parents, got 0"),
        ("range: [0, 1]", "range: [0, 1], mechanism: {name: binned, parents: [aa]}", "no factor is called 'aa'"),
        ("range: [0, 1]", "range: [0, 1], mechanism: {name: nearest_color, parents: [a, a]}", "gives no continuous"),
        (
            "range: [0, 1]",
            "range: [0, 1], mechanism: {name: binned, parents: [b]}",
            "binned takes no continuous parent, 'b' is one",
        ),
        ("range: [0, 1]", "range: [0, 1], mechanism: {name: affine, parents: [b], weights: [1]}", "a cycle: b -> b"),
        (
            A,
            "a: {role: content, value: 1}",
            "`value` belongs to the role `constant`",
        ),
        (
            "range: [0, 1]",
            "range: [0, 1], mechanism: {name: binned, parents: [a], strength: 2}",
            r"factors\.b\.mechanism\.strength: .*less than or equal to 1",
        ),
        (
            "range: [0, 1]",
            "range: [0, 1], mechanism: {name: binned, parents: [a], strenght: 1}",
            r"factors\.b\.mechanism\.strenght: .*did you mean 'strength'",
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


def test_choices_must_be_those_of_the_template() -> None:
    with pytest.raises(UsageError, match=r"factors\.text_phrasing: template 'm3di' has sits, shows, .*, not sings"):
        parse_spec(
            "{extends: m3di, name: t, "
            "factors: {text_phrasing: {type: categorical, kind: label, values: [sits, sings]}}}",
            where="test",
        )
    with pytest.raises(UsageError, match=r"mentions\.grund: no clause is called 'grund'; did you mean 'ground'"):
        parse_spec(
            "{extends: m3di, name: t, views: {text: {template: detailed, mentions: {grund: 0.1}}}}",
            where="test",
        )


def test_extends(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(GOOD)
    own = tmp_path / "own.yaml"
    own.write_text(
        "{extends: base.yaml, name: own, factors: {b: null, a: {values: [x, y, z]}}, "
        "views: {image: {factors: {b: null}}}}"
    )
    spec = load_spec(own)
    assert (spec.name, list(spec.factors), spec.factors["a"].names) == ("own", ["a"], ("x", "y", "z"))
    assert spec.views["image"].factors["a"].role == "content"
    own.write_text("{extends: own.yaml}")
    with pytest.raises(UsageError, match="extends itself"):
        load_spec(own)


def test_a_mechanism_replaces_the_other_whole_or_is_shifted() -> None:
    replaced = parse_spec(
        "{extends: m3di, name: t, factors: {object_color: {mechanism: {name: uniform}}}}", where="test"
    )
    assert replaced.factors["object_color"].mechanism.parents == ()
    shifted = parse_spec(
        "{extends: m3di, name: t, factors: {object_color: {mechanism: {strength: 0.5}}}}", where="test"
    )
    assert shifted.factors["object_color"].mechanism.parents == ("object_xpos",)
    assert shifted.factors["object_color"].mechanism.parameters == {"strength": 0.5}


def test_a_stored_spec_needs_no_mechanism_installed() -> None:
    plain = plain_spec(load_spec("m3di"))
    plain["factors"]["object_color"]["mechanism"]["name"] = "mechanism_of_a_package_that_is_not_here"
    with pytest.raises(UsageError, match="no mechanism is called"):
        spec_from_dict(plain, where="test")
    spec = spec_from_dict(plain, where="test", stored=True)
    with pytest.raises(M3diError, match=r"mechanism 'mechanism_of_.*' is not installed here"):
        sample(spec, "train", 1)


@pytest.mark.parametrize(("text", "message"), [("a: [", "not valid YAML"), ("- 1", "not a mapping")])
def test_not_a_spec_at_all(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_spec(text, where="mine.yaml")
