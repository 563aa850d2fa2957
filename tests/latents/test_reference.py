"""The reference: of every key, mechanism and factor, true to the models and to what is drawn."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml

from m3di.latents import MECHANISMS, SCENE_FACTORS, load_spec, plain_spec, reference_page, spec_schema
from m3di.latents.reference import BUILTIN, attribute_texts
from m3di.latents.spec import Spec
from m3di.latents.templates import Template
from m3di.latents.variants import Pairs, Sequence
from m3di.latents.view import FactorUse, View
from tests.conftest import BUILT_IN

PAGE = Path(__file__).parents[2] / "docs" / "spec-reference.md"


def test_the_page_of_the_docs_is_the_generated_one() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference_page(), "m3di specs reference --out docs/spec-reference.md"


def test_the_page_has_every_key_every_mechanism_and_every_factor_of_an_image() -> None:
    page = reference_page()
    for model in (Spec, View, FactorUse, Pairs, Sequence, Template):
        texts = attribute_texts(model)
        for name in model.model_fields:
            assert texts[name], (model, name)
            assert f"| `{name}` |" in page
    for mechanism in BUILTIN:
        assert mechanism is MECHANISMS[mechanism.name]
        assert f"### `{mechanism.name}`" in page
        for name in mechanism.parameters.model_fields:
            assert f"| `{name}` |" in page.split(f"### `{mechanism.name}`")[1].split("\n### ")[0]
    for name, each in SCENE_FACTORS.items():
        (line,) = [line for line in page.splitlines() if line.startswith(f"| `{name}` |")]
        assert each.effect in line and each.otherwise in line and (each.unit or "") in line


@pytest.fixture(scope="module")
def check() -> Any:
    jsonschema = pytest.importorskip("jsonschema")
    schema = spec_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_built_in_spec_fits_the_schema(check: Any, name: str) -> None:
    text = (files("m3di.latents.specs") / f"{name}.yaml").read_text(encoding="utf-8")
    assert [error.message for error in check.iter_errors(yaml.safe_load(text))] == []
    assert [error.message for error in check.iter_errors(plain_spec(load_spec(name)))] == []


@pytest.mark.parametrize(
    "text",
    [
        "factors: {object_color: {mechanism: {strength: 0.5}}}",
        "factors: {object_color: null, new: {type: continuous, kind: hue, mechanism: {name: somebody_s, power: 3}}}",
        "views: {image: {factors: {object_zpos: null, object_xpos: private}}, text: null}",
        "views: {text: {template: ./mine.yaml, factors: {object_shape: {role: style, change: {name: uniform}}}}}",
        "plugins: [mine.py]\ninterventions: {object_xpos: right, object_color: {strength: 0}}",
        "templates: {t: {name: t, reads: {}, phrasings: {a: b, c: {text: d, requires: [e]}}}}",
    ],
)
def test_good_specs_fit_the_schema(check: Any, text: str) -> None:
    errors = check.iter_errors(yaml.safe_load(f"extends: m3di\nname: own\n{text}"))
    assert [error.message for error in errors] == []


@pytest.mark.parametrize(
    "text",
    [
        "factor: {}",
        "factors: {object_color: {rang: [0, 1]}}",
        "factors: {object_color: {kind: size}}",
        "factors: {object_color: {mechanism: {name: binned, strength: 2}}}",
        "factors: {object_color: {mechanism: {name: truncated_normal, parents: [a]}}}",
        "views: {image: {factors: {object_zpos: contant}}}",
        "views: {image: {material: glass}}",
        "splits: {train: -1}",
    ],
)
def test_mistakes_do_not_fit_the_schema(check: Any, text: str) -> None:
    assert list(check.iter_errors(yaml.safe_load(f"extends: m3di\nname: own\n{text}")))


def test_without_extends_everything_is_needed(check: Any) -> None:
    assert [error.message for error in check.iter_errors({"name": "own"})] == [
        f"{key!r} is a required property" for key in ("factors", "views", "splits")
    ]
    assert list(check.iter_errors({"extends": "m3di"}))
