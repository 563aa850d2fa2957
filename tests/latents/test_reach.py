"""The views that a factor reaches are those in which its other values show, by samples of random specs."""

# ruff: noqa: E501 - a spec is read best as it is written
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings

from m3di.errors import UsageError
from m3di.latents import Spec, load_spec, parse_spec, spec_from_dict
from m3di.latents.reach import Reach, varies
from m3di.latents.spec import Observed
from m3di.latents.values import Evaluation
from tests.latents.test_graph import small_specs

N = 2000


def reached(spec: Spec, name: str) -> list[str]:
    """The views whose samples are others where a factor is drawn again."""
    drawn = Evaluation(spec, "train", 0, np.arange(N))
    found = []
    for view, declared in spec.views.items():
        names = {*declared.factors}
        other = drawn.observe(Observed(declared, view, do=name), names)
        factual = drawn.observe(Observed(declared, view), names)
        if any((other[each] != factual[each]).any() for each in names):
            found.append(view)
    return found


@pytest.mark.slow
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(small_specs())
def test_what_samples_of_a_random_spec_say_is_reached(data: dict[str, Any]) -> None:
    try:
        spec = spec_from_dict(data, where="random")
    except UsageError:
        assume(False)
    for name in spec.factors:
        # What cannot be proven to be without effect counts: nothing is refused for want of a proof.
        assert {*reached(spec, name)} <= {*Reach(spec).views(name)}, name


@pytest.mark.parametrize("name", ["m3di-three-views", "multiview-crl", "misaligned-captions", "causal3dident"])
def test_what_is_reached_in_a_built_in_spec_is_what_its_samples_say(name: str) -> None:
    spec = load_spec(name)
    for factor in spec.factors:
        assert Reach(spec).views(factor) == reached(spec, factor), factor


def test_what_views_mix_is_reached_where_one_of_them_is() -> None:
    text = """
name: mixing
factors: {object_color: {type: continuous, kind: hue, range: [0, 1]}}
views:
  one: {modality: image, shape: cube, factors: {object_color: ONE}}
  two: {modality: image, shape: cube, factors: {object_color: TWO}}
  mixed: {modality: image, shape: cube, mixes: [one, two], changes: {}, factors: {object_color: style}}
splits: {train: 10}
"""
    again = "{role: style, change: {name: uniform}}"
    for one, two, expected in (
        (again, again, []),
        (again, "style", ["two", "mixed"]),
        ("style", again, ["one", "mixed"]),
    ):
        spec = parse_spec(text.replace("ONE", one).replace("TWO", two), where="mixing.yaml")
        assert Reach(spec).views("object_color") == reached(spec, "object_color") == expected
        assert Reach(spec).views("mixed_changes") == reached(spec, "mixed_changes") == ["mixed"]


def test_a_value_varies_by_noise_of_its_own_or_of_what_causes_it() -> None:
    text = """
name: own
factors:
  x: {type: continuous, kind: scalar, range: [0, 1]}
  y: {type: continuous, kind: scalar, range: [0, 1], mechanism: {name: function, value: x / 2}}
  fixed: {type: continuous, kind: scalar, range: [0, 1], mechanism: {name: constant, value: 0.5}}
  after: {type: continuous, kind: scalar, range: [0, 1], mechanism: {name: function, value: fixed}}
  switched: {type: continuous, kind: scalar, range: [0, 1], mechanism: {name: constant, value: 0.5}}
views: {image: {modality: image, shape: cube, factors: {y: {role: content, recorded: true}, switched: {role: content, recorded: true}}}}
splits: {train: 10}
regimes: {r: {chosen: {}, cases: {a: {switched: 0.2}}}}
"""
    spec = parse_spec(text, where="own.yaml")
    assert [name for name in spec.factors if varies(spec, name)] == ["x", "y", "switched", "r", "r_a"]
