"""Every built-in spec with interventions, plugins, sequences, pairs and in its stored form: the seams between them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from m3di.errors import UsageError
from m3di.latents import (
    Samples,
    Spec,
    captions,
    do,
    load_spec,
    missing_mechanisms,
    parse_spec,
    permute_content,
    plain_spec,
    sample,
    spec_from_dict,
    to_yaml,
)
from m3di.latents.changing import changed_factor
from m3di.latents.conditions import given_factors
from tests.conftest import BUILT_IN

N = 40
PLUGIN = """
from m3di.latents import register

@register("bent", n_parents=None, types=["continuous"])
def bent(u, parents, factor, *, power: float = 2.0):
    return factor.from_unit(u**power)
"""


def same(one: Samples, other: Samples) -> bool:
    return one.views.keys() == other.views.keys() and all(
        one.views[view].keys() == other.views[view].keys()
        and all(np.array_equal(values, other.views[view][name]) for name, values in each.items())
        for view, each in one.views.items()
    )


def check_forms(spec: Spec) -> Samples:
    """A spec, its text, its data and its stored form draw the same samples; its captions can be written."""
    drawn = sample(spec, "val", N, seed=2)
    assert parse_spec(to_yaml(spec), where="again.yaml") == spec
    plain = plain_spec(spec)
    for other in (spec_from_dict(plain, where="test"), spec_from_dict(plain, where="test", stored=True)):
        assert same(drawn, sample(other, "val", N, seed=2))
    for view in spec.told:
        assert all(captions(drawn, view))
    return drawn


def interventions(spec: Spec) -> list[dict[str, Any]]:
    """Hard, soft, by parameters where the mechanism has a strength, and in one view only."""
    found: list[dict[str, Any]] = []
    for number, (name, factor) in enumerate(spec.factors.items()):
        found.append({name: factor.bounds[1]} if number % 2 else {name: "uniform"})
        mechanism = spec.mechanism(factor.mechanism.name)
        if mechanism is not None and "strength" in mechanism.parameters.model_fields:
            found.append({name: {"strength": 0.25}})
    for view, each in spec.views.items():
        for name in list(each.factors)[:3]:
            found += [{f"{view}.{name}": spec.factors[name].bounds[0]}, {f"{view}.{name}": "uniform"}]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", BUILT_IN)
def test_interventions_on_every_built_in_spec(name: str) -> None:
    spec = load_spec(name)
    factual = check_forms(spec)
    every = interventions(spec)
    if spec.is_chain or spec.overlays:
        every = every[::5]  # each draws whole sequences, or tries the process of every split
    for number, each in enumerate(every):
        done = do(spec, each)
        assert set(done.interventions) == set(each)
        drawn = sample(done, "val", N, seed=2)
        if number % 12 == 0:  # the forms of some of them: each takes its time
            check_forms(done)
        (target,) = each
        view, _, factor = target.rpartition(".")
        reached = spec.descendants([factor])
        for observed, values in drawn.views.items():
            declared = spec.observed[observed].declared
            for other, column in values.items():
                is_set = isinstance(each[target], float | int) and view in ("", declared)
                if other == changed_factor(declared, factor) and is_set:
                    assert not column.any(), (each, observed)  # what is set changes no more, and the table says so
                elif other not in reached or (view and declared != view):
                    known = factual.views[observed][other]
                    np.testing.assert_array_equal(column, known, err_msg=f"{each} {observed}.{other}")
            is_set = isinstance(each[target], float | int) and view in ("", declared)
            if is_set and factor in values and spec.observed[observed].do != factor:
                assert (values[factor] == each[target]).all(), (each, observed)


@pytest.mark.parametrize("name", BUILT_IN)
def test_two_interventions_after_each_other_are_both_at_once(name: str) -> None:
    spec = load_spec(name)
    one, other, *_ = interventions(spec)[:1] + interventions(spec)[-1:]
    assert do(do(spec, one), other) == do(spec, {**one, **other})


@pytest.mark.parametrize("frames", [False, True], ids=["still", "frames"])
@pytest.mark.parametrize("name", [each for each in BUILT_IN if not load_spec(each.values[0]).overlays])
def test_a_plugin_in_every_built_in_spec(name: str, frames: bool, tmp_path: Path) -> None:
    base = load_spec(name)
    if frames and (base.pairs or base.sequence):
        pytest.skip("frames and pairs exclude each other")
    bent = next(each for each, factor in base.factors.items() if factor.type == "continuous" and factor.range)
    (tmp_path / "bent.py").write_text(PLUGIN)
    (tmp_path / "own.yaml").write_text(
        f"extends: {name}\nname: own\nplugins: [bent.py]\n"
        f"factors: {{{bent}: {{mechanism: {{name: bent, power: 3}}}}}}\n"
        + ("sequence: {length: 3}\n" if frames else "")
    )
    spec = load_spec(tmp_path / "own.yaml")
    whole = check_forms(spec)
    check_forms(do(spec, {bent: "uniform"}))
    check_forms(do(spec, {bent: {"power": 1.5}}))
    # As a dataset from elsewhere has it: its text was never run here.
    plain = plain_spec(spec)
    plain["plugins"] = {"bent.py": f"{PLUGIN}\n# {tmp_path}"}
    stored = spec_from_dict(plain, where="test", stored=True)
    missing = missing_mechanisms(stored)
    partly = sample(stored, "val", N, seed=2, partly=True)
    for view, observed in stored.observed.items():
        lacking = set(missing[observed.declared])
        # Which draws a condition keeps is known with all that it depends on alone.
        assert lacking <= (base.factors.keys() if bent in given_factors(base) else base.descendants([bent]))
        assert set(partly.views[view]) == set(whole.views[view]) - lacking
        for factor, values in partly.views[view].items():
            np.testing.assert_array_equal(values, whole.views[view][factor])


@pytest.mark.slow
@pytest.mark.parametrize("name", [each for each in BUILT_IN if load_spec(each.values[0]).sequence is None])
def test_pairs_of_every_built_in_spec(name: str) -> None:
    base = load_spec(name)
    varied = next(
        each for each in base.factors
        if any(each in view.factors and view.factors[each].role != "constant" for view in base.views.values())
    )  # fmt: skip
    contents = {each for view in base.views.values() for each, use in view.factors.items() if use.role == "content"}
    permuted = str(bool(contents)).lower()
    text = f"{{extends: {name}, name: own, pairs: {{counterfactual: [{varied}], permuted_content: {permuted}}}}}"
    spec = parse_spec(text, where="own.yaml")
    check_forms(spec)
    check_forms(do(spec, {varied: "uniform"}))
    if contents:
        check_forms(permute_content(do(base, {varied: "uniform"})))
    else:
        with pytest.raises(UsageError, match="no view has content that varies"):
            permute_content(base)
