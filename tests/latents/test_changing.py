"""What changes between views: which subset, by how much, recorded, and the same noise under interventions."""

# ruff: noqa: E501 - a mistake and its message are read best side by side
from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from m3di.errors import UsageError
from m3di.latents import Samples, Spec, bounds, counterfactual, do, load_spec, parse_spec, sample

N = 40_000
NAMES = ("object_color", "object_alpharot", "spotlight_pos", "background_color")
PAIR = """
extends: m3di
name: changing
views:
  image: {factors: {object_alpharot: style, spotlight_pos: style, background_color: style}}
  after:
    modality: image
    changes: {probability: 0.5, at_least: 1}
    factors:
      object_shape: content
      object_xpos: content
      object_ypos: content
      object_color: {role: style, change: {name: uniform}}
      object_alpharot: {role: style, change: {name: uniform}}
      spotlight_pos: {role: style, change: {name: ar1, strength: 0.9}}
      background_color: {role: style, change: {name: perturb, probability: 1, std: 0.1}}
      render_seed: private
"""
SEEN = "{object_shape: private, object_xpos: private, object_color: private, spotlight_pos: private}"
TRIPLETS = f"""
extends: m3di
name: triplets
views:
  image: null
  text: null
  one: {{modality: image, factors: {SEEN}}}
  two: {{modality: image, factors: {SEEN}}}
  mixed:
    modality: image
    mixes: [one, two]
    changes: {{probability: 0.5, at_least: 1, at_most: 3}}
    factors: {{object_shape: style, object_xpos: style, object_color: style, spotlight_pos: style}}
"""


def spec_of(changes: str, text: str = PAIR) -> Spec:
    return parse_spec(text.replace("{probability: 0.5, at_least: 1}", changes), where="test.yaml")


def drawn(spec: Spec, n: int = N) -> Samples:
    return sample(spec, "train", n)


def masks(samples: Samples, view: str = "after", names: tuple[str, ...] = NAMES) -> np.ndarray:
    word = "changed" if view == "after" else "from"
    return np.stack([samples.views[view][f"{view}_{word}_{name}"] for name in names])


def subsets(mask: np.ndarray) -> np.ndarray:
    """How often each subset is there, by its number."""
    weights = 2 ** np.arange(len(mask))[:, None]
    return np.bincount((mask * weights).sum(axis=0), minlength=2 ** len(mask)) / mask.shape[1]


def near(found: np.ndarray, expected: object) -> bool:
    return bool(np.abs(found - np.asarray(expected)).max() < 4.5 * 0.5 / np.sqrt(N))


def test_what_is_recorded_as_changed_is_what_differs() -> None:
    samples = drawn(spec_of("{probability: 0.5, at_least: 1}"))
    for name in NAMES:
        changed = samples.views["after"][f"after_changed_{name}"] == 1
        assert ((samples.views["after"][name] != samples.views["image"][name]) == changed).all()
    assert set(samples.columns()["after"]["after_changed_object_color_name"]) == {"kept", "changed"}


def test_each_subset_but_the_empty_one_is_equally_likely_at_one_half() -> None:
    found = subsets(masks(drawn(spec_of("{probability: 0.5, at_least: 1}"))))
    assert found[0] == 0
    assert near(found[1:], 1 / 15)


def test_probabilities_by_name_given_that_two_or_three_are_chosen() -> None:
    given = {"object_color": 0.9, "object_alpharot": 0.2, "spotlight_pos": 0.5, "background_color": 0.3}
    written = ", ".join(f"{name}: {each}" for name, each in given.items())
    found = subsets(masks(drawn(spec_of(f"{{probability: {{{written}}}, at_least: 2, at_most: 3}}"))))
    expected = np.zeros(16)
    for bits in itertools.product(range(2), repeat=4):
        if 2 <= sum(bits) <= 3:
            shares = [p if bit else 1 - p for p, bit in zip(given.values(), bits, strict=True)]
            expected[sum(bit << k for k, bit in enumerate(bits))] = np.prod(shares)
    assert near(found, expected / expected.sum())
    assert (found[expected == 0] == 0).all()


def test_sets_with_weights_choose_groups() -> None:
    spec = spec_of("{sets: [[object_color], [object_alpharot, spotlight_pos], []], weights: [3, 1, 4]}")
    samples = drawn(spec)
    found = subsets(masks(samples, names=NAMES[:3]))
    assert near(found, [4 / 8, 3 / 8, 0, 0, 0, 0, 1 / 8, 0])
    # The ground is in no set: it never changes.
    assert (samples.views["after"]["background_color"] == samples.views["image"]["background_color"]).all()


def test_changes_have_the_distribution_that_their_mechanism_says() -> None:
    samples = drawn(spec_of("{probability: 0.5, at_least: 1}"))
    before, after = samples.views["image"], samples.views["after"]
    moved = after["after_changed_spotlight_pos"] == 1
    scores = [stats.norm.ppf(each["spotlight_pos"][moved]) for each in (before, after)]
    assert np.corrcoef(scores[0], scores[1])[0, 1] == pytest.approx(0.9, abs=0.01)
    assert stats.kstest(after["spotlight_pos"], "uniform").pvalue > 1e-4
    redrawn = after["after_changed_object_color"] == 1
    assert abs(np.corrcoef(before["object_color"][redrawn], after["object_color"][redrawn])[0, 1]) < 0.03


def test_other_factors_and_samples_do_not_depend_on_the_subset() -> None:
    plain, gated = drawn(spec_of("null")), drawn(spec_of("{probability: 0.5, at_least: 1}"))
    for name in NAMES:
        changed = gated.views["after"][f"after_changed_{name}"] == 1
        assert (gated.views["after"][name][changed] == plain.views["after"][name][changed]).all()
    assert all((gated.views["image"][name] == each).all() for name, each in plain.views["image"].items())
    part = sample(gated.spec, "train", 7, start=1_001)
    assert (masks(part) == masks(gated)[:, 1_001:1_008]).all()


def test_an_intervention_keeps_the_subset_and_all_other_noise() -> None:
    factual = drawn(spec_of("{probability: 0.5, at_least: 1}"), 2_000)
    done = counterfactual(factual, object_color=0.3, object_xpos="right")
    assert (done.views["after"]["object_color"] == 0.3).all()
    assert (done.views["after"]["after_changed_object_color"] == 0).all()  # what is set does not change
    assert (masks(done)[1:] == masks(factual)[1:]).all()
    for name in NAMES[1:]:
        assert (done.views["after"][name] == factual.views["after"][name]).all()
    shifted = counterfactual(factual, {"after.object_color": {"strength": 0.0}})
    kept = factual.views["after"]["after_changed_object_color"] == 0
    assert (masks(shifted) == masks(factual)).all()
    assert (shifted.views["after"]["object_color"][~kept] == factual.views["after"]["object_color"][~kept]).all()
    assert (shifted.views["after"]["object_color"][kept] != factual.views["after"]["object_color"][kept]).any()
    forced = counterfactual(factual, after_changed_object_color="changed")
    assert (forced.views["after"]["object_color"] != forced.views["image"]["object_color"]).all()
    assert (masks(forced)[1:] == masks(factual)[1:]).all()
    chosen = counterfactual(factual, after_changes=5)  # the first and the third
    assert (masks(chosen) == np.array([1, 0, 1, 0])[:, None]).all()
    again = do(do(factual.spec, object_color=0.3), object_color="uniform")
    assert sample(again, "train", 5).n == 5


def test_a_counterfactual_view_draws_the_subset_again() -> None:
    text = PAIR + "pairs: {counterfactual: [after_changed_object_color]}\n"
    samples = drawn(parse_spec(text, where="test"), 2_000)
    factual, other = samples.views["after"], samples.views["after_do_after_changed_object_color"]
    assert (other["after_changed_object_color"] != factual["after_changed_object_color"]).any()
    same = other["after_changed_object_color"] == factual["after_changed_object_color"]
    assert ((other["object_color"] == factual["object_color"]) == same).all()
    assert all((other[name] == factual[name]).all() for name in NAMES[1:])


def test_two_views_perturbed_from_a_common_source() -> None:
    """Appendix A.2: each view has its own subset and its own change of one value that neither need show."""
    use = "{role: style, change: {name: linear_gaussian, weights: [1], std: 0.05}}"
    view = f"{{modality: image, changes: {{probability: 0.5, at_least: 1}}, factors: {{object_shape: content, object_color: {use}, spotlight_pos: {use}}}}}"
    spec = parse_spec(f"{{extends: m3di, name: t, views: {{image: {view}, other: {view}}}}}", where="t")
    samples = drawn(spec)
    one, other = samples.views["image"], samples.views["other"]
    neither = (one["image_changed_object_color"] == 0) & (other["other_changed_object_color"] == 0)
    assert ((one["object_color"] == other["object_color"]) == neither).all()
    assert neither.mean() == pytest.approx(1 / 9, abs=0.01)
    difference = one["object_color"] - other["object_color"]
    both = (one["image_changed_object_color"] == 1) & (other["other_changed_object_color"] == 1)
    either = one["image_changed_object_color"] != other["other_changed_object_color"]
    assert difference[both].std() / difference[either].std() == pytest.approx(np.sqrt(2), rel=0.04)


def test_two_views_may_share_what_changes() -> None:
    """The mask is a factor like any other: content of both views."""
    mask = "{role: style, change: {name: uniform}, when: moves}"
    view = (
        f"{{modality: image, shape: cow, factors: {{spotlight_pos: {mask}, moves: {{role: content, recorded: true}}}}}}"
    )
    spec = parse_spec(
        "{extends: m3di, name: t, factors: {moves: {type: categorical, kind: label, values: [no, 'yes'], "
        "mechanism: {name: categorical, weights: [3, 1]}}}, views: {image: null, text: null, a: V, b: V, "
        "c: {modality: image, shape: cow, factors: {spotlight_pos: style}}}}".replace("V", view).replace(
            "[no,", "['no',"
        ),
        where="t",
    )
    a, b, c = (drawn(spec).views[each] for each in "abc")
    assert (a["moves"] == b["moves"]).all()
    assert ((a["spotlight_pos"] != c["spotlight_pos"]) == (a["moves"] == 1)).all()
    assert ((b["spotlight_pos"] != c["spotlight_pos"]) == (a["moves"] == 1)).all()
    assert (a["spotlight_pos"] != b["spotlight_pos"])[a["moves"] == 1].all()


def test_a_view_mixes_two_others() -> None:
    samples = drawn(parse_spec(TRIPLETS, where="test"))
    one, two, mixed = (samples.views[each] for each in ("one", "two", "mixed"))
    names = ("object_shape", "object_xpos", "object_color", "spotlight_pos")
    mask = masks(samples, "mixed", names)
    for name, of_two in zip(names, mask == 1, strict=True):
        assert (mixed[name] == np.where(of_two, two[name], one[name])).all()
    found = subsets(mask)
    assert (found[0], found[-1]) == (0, 0)
    assert near(found[1:-1], 1 / 14)
    assert set(samples.columns()["mixed"]["mixed_from_object_color_name"]) == {"one", "two"}


def test_a_mixing_view_follows_interventions_on_what_it_mixes() -> None:
    factual = drawn(parse_spec(TRIPLETS, where="test"), 1_000)
    done = counterfactual(factual, {"two.object_color": 0.5, "mixed.object_xpos": "left"})
    of_two = factual.views["mixed"]["mixed_from_object_color"] == 1
    assert (done.views["mixed"]["object_color"][of_two] == 0.5).all()
    assert (done.views["mixed"]["object_color"][~of_two] == factual.views["mixed"]["object_color"][~of_two]).all()
    assert (done.views["mixed"]["object_xpos"] == 0).all()
    soft = counterfactual(factual, {"mixed.object_color": "uniform"})
    assert (soft.views["mixed"]["object_shape"] == factual.views["mixed"]["object_shape"]).all()
    everywhere = counterfactual(factual, object_color=0.25)
    assert all((everywhere.views[view]["object_color"] == 0.25).all() for view in ("one", "two", "mixed"))


def test_bounds_of_a_factor_that_sometimes_changes() -> None:
    """By hand: with probability q the hue is drawn again; else it is binned by the position, (x + u) / 3."""
    spec = spec_of("{sets: [[object_color], []], weights: [1, 3]}")
    (bound,) = [each for each in bounds(spec, n=N) if (each.view, each.factor) == ("after", "object_color")]
    expected = 0.75**2 * 8 / 9  # the mean given x moves by 1 - q of what it did; the variance is that of the uniform
    assert bound.method == "monte carlo"
    assert bound.value == pytest.approx(expected, abs=0.02)
    found = {each.factor: each for each in bounds(spec, n=1_000) if each.view == "after"}
    assert (found["spotlight_pos"].value, found["spotlight_pos"].method) == (0.0, "exact")


MISTAKES = {
    "{probability: 1.5}": r"changes\.probability: .*less than or equal to 1",
    "{probability: -0.1}": r"changes\.probability: .*greater than or equal to 0",
    "{probability: {object_colour: 0.5}}": r"'object_colour' is not a factor of the view with `change`; did you mean "
    r"'object_color'",
    "{probability: {object_shape: 0.5}}": r"'object_shape' is not a factor of the view with `change`",
    "{probability: {object_color: 2}}": r"changes\.probability\.object_color: .*less than or equal to 1",
    "{probability: {object_color: 0.5}, at_most: 1}": r"changes\.probability: it does not name object_alpharot, "
    r"spotlight_pos, background_color(?s:.)*0 is never, 1 is always(?s:.)*add object_alpharot with its probability",
    "{probability: {}}": r"`probability` names nothing",
    "{probability: 0}": r"nothing is ever chosen",
    "{at_least: 5}": r"no subset fits: 0 to 4 of object_color, .* can be chosen(?s:.)*at_least 5, at_most 4",
    "{at_least: 3, at_most: 2}": r"no subset fits",
    "{probability: 1, at_most: 2}": r"no subset fits: 4 to 4",
    "{at_least: 1, at_most: 0}": r"no subset fits",
    "{sets: []}": r"`sets` chooses nothing, ever",
    "{sets: [[]]}": r"`sets` chooses nothing, ever",
    "{sets: [[object_color], [object_color]]}": r"`sets` has a subset, or a name in one, twice",
    "{sets: [[object_color]], at_least: 1}": r"both `sets` and `at_least`",
    "{sets: [[object_color]], weights: [1, 2]}": r"1 weights are needed, one a set, got 2",
    "{sets: [[object_color], []], weights: [0.5, 0.6]}": r"weights are either probabilities",
    "{weights: [1]}": r"`weights` belong to `sets`",
    "{atleast: 1}": r"changes\.atleast: unknown key; did you mean 'at_least'",
    "often": r"views\.after\.changes: ",
}


@pytest.mark.parametrize("changes", MISTAKES)
def test_mistakes_in_a_subset(changes: str) -> None:
    with pytest.raises(UsageError, match=MISTAKES[changes]) as caught:
        spec_of(changes)
    assert "1 problem" in str(caught.value)


OTHER_MISTAKES = {
    "views: {image: {changes: {probability: 0.5}}}": r"there is nothing to choose from: a factor of the view with "
    r"`change` is needed",
    "views: {text: {factors: {text_color: {role: style, when: text_phrasing}}}}": r"`when` needs `change`",
    "views: {text: {factors: {text_color: {role: private, when: text_phrasing}}}}": r"`when` belongs to the role `style`",
    "views: {text: {factors: {text_color: {role: style, change: {name: uniform}, when: text_palete}}}}": r"the view sees no "
    r"factor 'text_palete'; did you mean 'text_palette'",
    "views: {text: {factors: {text_color: {role: style, change: {name: uniform}, when: text_palette}}}}": r"text_palette has "
    r"not two values",
}


@pytest.mark.parametrize("text", OTHER_MISTAKES)
def test_mistakes_in_when(text: str) -> None:
    with pytest.raises(UsageError, match=OTHER_MISTAKES[text]):
        parse_spec(f"extends: m3di\nname: t\n{text}\n", where="t")


MIXED_MISTAKES = {
    "[one, two]|[one, oen]": r"no view is called 'oen'; did you mean 'one'",
    "[one, two]|[one, one]": r"it mixes a view with itself",
    "[one, two]|[one, mixed]": r"it cannot mix itself",
    "[one, two]|[one]": r"mixes: an entry is missing",
    "    changes|    lights: [sun, spotlight]\n    nothing": r"nothing: unknown key",
    "spotlight_pos: style|spotlight_pos: style, spotlight_color: style": r"mixed mixes spotlight_color of one and two, and one "
    r"does not see it",
}


@pytest.mark.parametrize("change", MIXED_MISTAKES)
def test_mistakes_in_mixing(change: str) -> None:
    with pytest.raises(UsageError, match=MIXED_MISTAKES[change]):
        parse_spec(TRIPLETS.replace(*change.split("|")), where="t")


def test_mixing_needs_to_know_what() -> None:
    text = TRIPLETS.replace("    changes: {probability: 0.5, at_least: 1, at_most: 3}\n", "")
    with pytest.raises(UsageError, match="`mixes` needs `changes`"):
        parse_spec(text, where="t")
    text = TRIPLETS.replace(
        "mixed:",
        "mixed2: {modality: image, mixes: [one, mixed], changes: {}, factors: {object_shape: style}}\n  mixed:",
    )
    with pytest.raises(UsageError, match="mixed mixes other views itself"):
        parse_spec(text, where="t")


def test_an_overlaid_subset_replaces_the_other_one(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(PAIR)
    text = "extends: base.yaml\nname: t\nviews: {after: {changes: {sets: [[object_color, spotlight_pos]]}}}\n"
    (tmp_path / "own.yaml").write_text(text)
    spec = load_spec(tmp_path / "own.yaml")
    assert (masks(drawn(spec, 50), names=("object_color", "spotlight_pos")) == 1).all()
    assert (masks(drawn(spec, 50), names=("object_alpharot",)) == 0).all()
