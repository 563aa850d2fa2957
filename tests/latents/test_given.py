"""`given`: what is kept fulfils it, depends on nothing but the index, and keeps its noise under interventions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import yaml

from m3di.errors import UsageError
from m3di.latents import (
    Samples,
    bounds,
    counterfactual,
    do,
    load_spec,
    parse_spec,
    permute_content,
    plain_spec,
    sample,
    share_accepted,
    spec_from_dict,
    to_yaml,
    told_given,
)
from m3di.latents.conditions import holds_in
from m3di.latents.noise import uniforms, uniforms_at
from m3di.latents.spec import Spec

N = 400


def own(given: str, rest: str = "", base: str = "m3di") -> Spec:
    return parse_spec(f"extends: {base}\nname: own\ngiven: {given}\n{rest}", where="own.yaml")


def same(one: Samples, other: Samples, rows: Any = slice(None), but: tuple[str, ...] = ()) -> bool:
    return all(
        (one.views[view][name][rows] == values).all()
        for view, each in other.views.items()
        for name, values in each.items()
        if name not in but
    )


def test_noise_at_scattered_samples_is_that_of_runs() -> None:
    indices = np.array([0, 3, 4, 5000, 5001, 20_000])
    whole = [uniforms(1, "val", "a", "b", start=0, n=20_001, attempt=attempt) for attempt in range(3)]
    np.testing.assert_array_equal(uniforms_at(1, "val", "a", "b", indices=indices), whole[0][indices])
    attempts = np.array([0, 2, 1, 2, 0, 2])
    expected = [whole[attempt][index] for attempt, index in zip(attempts, indices, strict=True)]
    np.testing.assert_array_equal(uniforms_at(1, "val", "a", "b", indices=indices, attempts=attempts), expected)
    assert not np.intersect1d(whole[0], whole[1]).size


GIVEN = "object_color < 0.5 and object_shape in ['cow', 'hare']"


def test_what_is_kept_fulfils_it_and_depends_on_its_index_only() -> None:
    spec = own(GIVEN)
    drawn = sample(spec, "train", N, seed=3)
    image, text = drawn.views["image"], drawn.views["text"]
    assert (image["object_color"] < 0.5).all() and set(image["object_shape"]) == {1, 3}
    assert (text["object_shape"] == image["object_shape"]).all()
    for start, n in ((0, 1), (7, 1), (100, 33), (N - 1, 1)):
        assert same(drawn, sample(spec, "train", n, seed=3, start=start), slice(start, start + n))
    free = sample(load_spec("m3di"), "train", N, seed=3)
    fits = (free.views["image"]["object_color"] < 0.5) & np.isin(free.views["image"]["object_shape"], [1, 3])
    assert 20 < fits.sum() < N / 4
    for view, each in free.views.items():
        assert all((drawn.views[view][name][fits] == values[fits]).all() for name, values in each.items())
    # What has nothing to do with it keeps its distribution, and no two samples share noise.
    assert len(np.unique(image["render_seed"])) == N
    assert abs(image["spotlight_pos"].mean() - 0.5) < 4 / np.sqrt(12 * N)


def test_the_share_is_measured_and_told() -> None:
    spec = own(GIVEN)
    assert share_accepted(spec) == pytest.approx(0.5 * 2 / 7, abs=0.015)
    assert told_given(spec) == f"{GIVEN} ({100 * share_accepted(spec):.3g} % of draws fulfil it)"
    assert told_given(load_spec("m3di")) == ""


@pytest.mark.slow
@pytest.mark.parametrize("again", [False, True], ids=["built", "read again"])
def test_interventions_keep_the_accepted_noise(again: bool) -> None:
    spec = own("object_xpos == 'left' and spotlight_pos < 0.4")
    factual = sample(spec, "test", N)
    moved = do(spec, object_xpos="right")
    moved = do(moved, spotlight_pos=0.9)  # a second one does not move what `given` is looked at in
    if again:
        moved = spec_from_dict(plain_spec(moved), where="again", stored=True)
    other = sample(moved, "test", N)
    assert (other.views["image"]["object_xpos"] == 2).all() and (other.views["image"]["spotlight_pos"] == 0.9).all()
    assert same(other, factual, but=("object_xpos", "object_color", "text_color", "spotlight_pos"))
    # The hue follows with its own noise: the place in the bin.
    np.testing.assert_allclose(
        other.views["image"]["object_color"] * 3 % 1, factual.views["image"]["object_color"] * 3 % 1, atol=1e-9
    )
    assert same(sample(do(spec, object_zpos=0.0), "test", N), factual, but=("object_zpos",))


@pytest.mark.slow
def test_interventions_of_the_file_come_after_the_condition() -> None:
    spec = own("object_xpos == 'left'", "interventions: {object_xpos: right}")
    assert (sample(spec, "train", N).views["image"]["object_xpos"] == 2).all()
    assert same(
        counterfactual(sample(own("object_xpos == 'left'"), "train", N), object_xpos="right"), sample(spec, "train", N)
    )


@pytest.mark.slow
def test_pairs_and_permuted_content_keep_accepted_samples() -> None:
    condition = "image.object_color < 0.4 and object_ypos != 'mid'"
    factual = sample(own(condition), "train", 20)
    paired = sample(own(condition, "pairs: {counterfactual: [object_color]}"), "train", 20)
    assert same(paired, factual)
    assert (paired.views["image_do_object_color"]["object_color"] > 0.4).any()
    permuted = sample(permute_content(own(condition)), "train", 7, start=5)
    neighbours = np.arange(5, 12) ^ 1
    np.testing.assert_array_equal(
        permuted.views["image_permuted"]["object_shape"], factual.views["image"]["object_shape"][neighbours]
    )
    np.testing.assert_array_equal(
        permuted.views["text_permuted"]["text_color"], factual.views["text"]["text_color"][5:12]
    )


@pytest.mark.slow
def test_bounds_know_that_a_condition_joins_what_no_arrow_joins() -> None:
    def found(spec: Spec, seed: int = 0) -> Any:
        return {f"{each.view}.{each.factor}": each for each in bounds(spec, n=3000, seed=seed)}

    free = found(load_spec("m3di"))["image.spotlight_pos"]
    assert (free.method, free.value, free.error) == ("exact", 0.0, 0.0)
    spec = own("spotlight_pos < 0.5 and object_xpos == 0 or spotlight_pos > 0.5 and object_xpos > 0")
    joined = found(spec)
    bound = joined["image.spotlight_pos"]
    # Two halves of [0, 1], of shares 1/3 and 2/3 of the draws: variance between 2/36, within 1/48.
    expected = (2 / 36) / (2 / 36 + 1 / 48)
    assert bound.method == "monte carlo" and abs(bound.value - expected) < 5 * bound.error + 0.01
    assert joined["image.background_color"].method == "exact"
    # The error that is stated is the one that seeds show.
    others = [found(spec, seed)["image.spotlight_pos"].value for seed in range(1, 9)]
    assert 0.35 < np.std(others) / bound.error < 2.5


@pytest.mark.slow
def test_a_sequence_fulfils_it_in_every_frame() -> None:
    every = sample(own("spotlight_pos > 0.3", base="m3di-sequence"), "train", 50).views
    assert all((every[f"image_t{frame}"]["spotlight_pos"] > 0.3).all() for frame in range(8))
    one = sample(own("image_t3.spotlight_pos > 0.6", base="m3di-sequence"), "train", 50).views
    assert (one["image_t3"]["spotlight_pos"] > 0.6).all() and (one["image_t7"]["spotlight_pos"] < 0.6).any()


def test_the_table_alone_tells_whether_it_holds() -> None:
    spec = own(GIVEN)
    drawn = sample(spec, "train", 30)
    columns = {f"{view}.{name}": values for view, each in drawn.views.items() for name, values in each.items()}
    whole = holds_in(spec, columns)
    assert whole is not None and whole.all()
    columns["image.object_color"] = columns["image.object_color"].copy()
    columns["image.object_color"][4] = 0.7
    broken = holds_in(spec, columns)
    assert broken is not None and np.flatnonzero(~broken).tolist() == [4]
    assert holds_in(do(spec, object_color=0.7), columns) is None


WRONG = {
    "object_colr < 0.5": r"given.*: no factor is called 'object_colr'; did you mean 'object_color'",
    "image.object_xpos < 1 and txt.object_xpos < 1": r"no view 'txt' sees 'object_xpos'; did you mean 'text'",
    "image.text_color == 'red'": r"no view 'image' sees 'text_color'(?s:.)*text\.text_color",
    "object_xpos": r"this is no condition",
    "object_xpos <": r"this is no condition",
    "object_xpos == 'lft'": r"no value of object_xpos is called 'lft'(?s:.)*did you mean 'left'",
    "object_shape == cow": r"no factor is called 'cow'(?s:.)*in quotes: it is a label of object_shape",
    "object_color@-1 < 0.5": r"no factor is called 'object_color@-1'",
    "1 < 2": r"the condition names no factor",
    "object_color < -1": r"no draw fulfils the condition(?s:.)*0 of 10,000(?s:.)*weaker",
    "object_color < 0.0008": r"fewer than 0\.1% of draws(?s:.)*of 10,000 draws fulfil it(?s:.)*weaker",
    "1 / (object_xpos - 1) > 0": r"`given` has no value(?s:.)*sample \d+ of train(?s:.)*1 / \(object_xpos - 1\)",
    "5": r"the condition is a text",
    "[a]": r"the condition is a text",
    "{condition: object_xpos == 1, x: 2}": r"unknown key",
}  # fmt: skip


@pytest.mark.parametrize("given", WRONG)
def test_mistakes(given: str) -> None:
    with pytest.raises(UsageError, match=WRONG[given]):
        own(given)


def test_a_name_that_means_several_values_is_refused() -> None:
    apart = "views: {text: {factors: {object_color: {role: private, recorded: false}}}}"
    with pytest.raises(UsageError, match=r"'object_color' has a value of its own in text: which one is meant"):
        own("object_color < 0.5", apart.replace(", recorded: false", ""))


@pytest.mark.slow
def test_the_condition_is_judged_before_an_intervention_on_one_view() -> None:
    spec = load_spec("3dident-strong")
    plain, done = (sample(each, "train", 200).views for each in (spec, do(spec, {"view1.object_xpos": 0.25})))
    assert (done["view1"]["object_xpos"] == 0.25).all()
    for name, values in plain["view2"].items():
        np.testing.assert_array_equal(done["view2"][name], values)


def test_a_dataset_of_a_stranger_with_a_broken_condition_is_refused() -> None:
    plain = plain_spec(do(own(GIVEN), object_xpos=1))
    del plain["given"]["factual"]["factors"]["object_xpos"]
    with pytest.raises(UsageError, match=r"not those of the spec|no factor is called"):
        spec_from_dict(plain, where="dataset.json", stored=True)
    plain["given"] = {"condition": "object_xpos <"}
    with pytest.raises(UsageError, match="this is no condition"):
        spec_from_dict(plain, where="dataset.json", stored=True)


TWO_LABELS = """
name: labels
factors:
  object_shape: {type: categorical, kind: label, values: [cube, cone, sphere]}
  other: {type: categorical, kind: label, values: [cone, cube]}
views: {image: {modality: image, factors: {object_shape: private, other: {role: private, recorded: true}}}}
splits: {train: 100}
"""


@pytest.mark.parametrize("condition", ["object_shape == other", "object_shape in [other]", "not object_shape != other"])
def test_two_labels_are_compared_by_their_names(condition: str) -> None:
    columns = sample(parse_spec(f"{TWO_LABELS}given: {condition}", where="own.yaml"), "train", 100).columns()["image"]
    assert set(columns["object_shape_name"]) == {"cube", "cone"}
    assert (columns["object_shape_name"] == columns["other_name"]).all()


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (
            "object_shape < other",
            r"given: labels have no order(?s:.)*for their numbers, write object_shape - other < 0",
        ),
        (
            "object_shape == size",
            r"given: no label of object_shape is one of size(?s:.)*expected: +labels of object_shape",
        ),
    ],
)
def test_two_labels_that_do_not_compare_are_refused(condition: str, message: str) -> None:
    text = TWO_LABELS.replace("factors:", "factors:\n  size: {type: categorical, kind: label, values: [s, m]}", 1)
    with pytest.raises(UsageError, match=message):
        parse_spec(f"{text}given: {condition}", where="own.yaml")


@pytest.mark.parametrize(
    "done",
    ["{object_xpos: right}", "{object_color: {strength: 0.5}}", "{image.object_color: 0.5}", "{object_color: uniform}"],
)
def test_a_condition_over_a_resolved_spec_with_interventions_is_refused(done: str) -> None:
    text = 'given: object_shape == "cow" or object_color < 0.9\n'
    for first in ("", "given: object_color < 0.8\n"):
        fresh = f"extends: m3di\nname: t\n{first or text}interventions: {done}\n"
        assert parse_spec(fresh, where="t.yaml").given is not None  # the condition first
        shown = to_yaml(parse_spec(f"extends: m3di\nname: t\n{first}interventions: {done}\n", where="t.yaml"))
        assert parse_spec(shown, where="shown.yaml").interventions
        resolved = yaml.safe_load(shown) | yaml.safe_load(text)
        with pytest.raises(
            UsageError, match=r"given: interventions are in the mechanisms already(?s:.)*got: +(?s:.)*add `given` to"
        ):
            parse_spec(yaml.safe_dump(resolved, sort_keys=False), where="t.yaml")


def test_a_condition_of_a_split_over_a_resolved_spec_with_interventions_is_refused() -> None:
    shown = to_yaml(parse_spec("extends: m3di\nname: t\ninterventions: {object_xpos: right}\n", where="t.yaml"))
    data = yaml.safe_load(shown)
    data["splits"]["some"] = {"n": 5, "given": "object_color < 0.9"}
    with pytest.raises(UsageError, match=r"splits\.some\.given: interventions are in the mechanisms"):
        parse_spec(yaml.safe_dump(data, sort_keys=False), where="t.yaml")
