from __future__ import annotations

import numpy as np
import pytest

from m3di.errors import UsageError
from m3di.latents import Bound, bounds, load_spec, parse_spec, sample
from m3di.latents.content_predictor import ContentPredictor, related_content
from m3di.latents.predictability import content_block


def by_name(name: str, view: str, factor: str, **options: int) -> Bound:
    (found,) = [each for each in bounds(load_spec(name), **options) if (each.view, each.factor) == (view, factor)]
    return found


def test_hue_given_the_position() -> None:
    bound = by_name("m3di", "image", "object_color", n=1_000)
    assert bound.method == "exact"
    assert bound.value == pytest.approx(8 / 9, abs=1e-11)
    bound = by_name("m3di-independent", "image", "object_color", n=1_000)
    assert (bound.method, bound.value) == ("exact", 0.0)


def test_content_constants_and_independent_factors_are_exact() -> None:
    found = {(each.view, each.factor): each for each in bounds(load_spec("m3di"), n=20_000)}
    assert found["image", "object_shape"].value == 1.0
    assert found["image", "object_shape"].chance == pytest.approx(1 / 7, abs=1e-9)
    assert found["image", "object_zpos"].value == 1.0
    assert found["image", "object_alpharot"].value == 0.0
    assert found["text", "text_palette"].value == found["text", "text_palette"].chance
    assert all(each.method == "exact" for key, each in found.items() if key != ("text", "text_color"))


def test_what_is_called_exact_does_not_depend_on_the_samples() -> None:
    found = {(each.view, each.factor): each for each in bounds(load_spec("m3di-discrete"), n=300)}
    palette, phrasing = found["text", "text_palette"], found["text", "text_phrasing"]
    assert (palette.method, phrasing.method) == ("exact", "exact")
    assert (palette.value, palette.chance) == (pytest.approx(1 / 3, abs=1e-9), pytest.approx(1 / 3, abs=1e-9))
    assert phrasing.value == pytest.approx(1 / 5, abs=1e-9)
    assert found["image", "object_shape"].chance == pytest.approx(1 / 7, abs=1e-9)
    hue = found["image", "object_color"]  # three hues for each of three positions
    assert (hue.value, hue.chance) == (pytest.approx(1 / 3, abs=1e-9), pytest.approx(1 / 9, abs=1e-9))


REGIMES = """
extends: m3di
name: regimes
factors: {text_palette: {mechanism: {name: categorical, weights: [5, 3, 2]}}}
regimes:
  target: {chosen: {probability: 0.4}, cases: {palette: {text_palette: xkcd}}}
  content: {chosen: {probability: 0.5}, cases: {shape: {object_shape: cow}}}
"""


def test_a_label_whose_share_only_samples_tell_has_a_standard_error() -> None:
    spec = parse_spec(REGIMES, where="test.yaml")
    found = {(each.view, each.factor): each for each in bounds(spec, n=4_000)}
    palette = found["text", "text_palette"]  # xkcd: 0.4 set, and a fifth of the rest; independent of content
    assert palette.method == "monte carlo" and palette.value == palette.chance
    assert palette.error == pytest.approx((0.52 * 0.48 / 4_000) ** 0.5, rel=0.1)
    assert abs(palette.value - 0.52) < 4 * palette.error
    assert abs(found["image", "object_shape"].chance - (0.5 + 0.5 / 7)) < 0.04


@pytest.mark.parametrize("n", [-5, 0, 1, 63])
def test_few_samples_are_refused(n: int) -> None:
    with pytest.raises(UsageError, match=rf"(?s)too few samples for an estimate.*got: +{n}\n.*64 or more"):
        bounds(load_spec("m3di"), n=n)


def test_no_bound_is_below_chance() -> None:
    spec = parse_spec(REGIMES, where="test.yaml")
    for seed in range(3):
        assert all(each.value >= each.chance for each in bounds(spec, n=500, seed=seed) if each.metric == "accuracy")


@pytest.mark.slow
def test_colour_names_given_the_position() -> None:
    """Monte Carlo against a direct count: the most frequent name in each third of the hues."""
    drawn = sample(load_spec("m3di"), "test", 200_000, seed=5).views["text"]
    table = np.zeros((3, 1107))
    np.add.at(table, (drawn["object_xpos"], drawn["text_color"]), 1)
    assert by_name("m3di", "text", "text_color").value == pytest.approx(table.max(axis=1).sum() / 200_000, abs=0.01)


@pytest.mark.parametrize(
    ("strength", "expected"), [(1.0, 8 / 9), (0.5, 0.25 * 8 / 9 / (0.25 * 8 / 9 + 4 / 9 * 1 / 1)), (0.0, 0.0)]
)
def test_partial_strength(strength: float, expected: float) -> None:
    spec = parse_spec(
        f"{{extends: m3di, name: t, factors: {{object_color: {{mechanism: {{strength: {strength}}}}}}}}}", where="t"
    )
    (bound,) = [each for each in bounds(spec, n=1_000) if each.factor == "object_color"]
    # value = (1 - s) u + s (k + u) / 3: noise variance ((1 - s) + s / 3)**2 / 12, explained variance s**2 / 9 * 2 / 3.
    noise, explained = (1 - strength * 2 / 3) ** 2 / 12, strength**2 / 9 * 2 / 3
    assert bound.value == pytest.approx(explained / (explained + noise), abs=1e-6)


def test_table_is_exact() -> None:
    spec = parse_spec(
        "{extends: m3di, name: t, factors: {text_palette: {mechanism: {name: table, parents: [object_xpos], "
        "rows: [[1, 0, 0], [0, 1, 0], [1, 1, 2]]}}}}",
        where="test",
    )
    (bound,) = [each for each in bounds(spec, n=1_000) if each.factor == "text_palette"]
    assert bound.method == "exact"
    assert bound.value == pytest.approx((1 + 1 + 0.5) / 3, abs=1e-3)
    assert bound.chance == pytest.approx(1.25 / 3, abs=1e-3)


def test_numbers_as_content() -> None:
    """Background hue | z is a normal of std 1 around z, truncated to [-1, 1]: compare with quadrature."""
    from scipy import stats

    z = (np.arange(400) + 0.5) / 200 - 1
    conditional = stats.truncnorm(-1 - z, 1 - z, z, 1.0)
    mean, variance = conditional.mean(), conditional.var()
    expected = mean.var() / (mean.var() + variance.mean())
    found = by_name("image-pairs-causal", "view1", "background_color")
    assert found.method == "monte carlo"
    assert found.value == pytest.approx(expected, abs=4 * found.error)


def predictor(n: int) -> tuple[ContentPredictor, np.ndarray]:
    """Of image pairs, whose content are three independent numbers; and x, uniform from 0 to 1."""
    spec = load_spec("image-pairs")
    found = ContentPredictor(spec, content_block(spec), sample(spec, "train", n, seed=0))
    return found, np.asarray(spec.factors["object_xpos"].to_unit(found.raw["object_xpos"]))


@pytest.mark.parametrize("expected", [0.02, 0.1, 0.5, 0.9])
def test_a_number_given_a_number(expected: float) -> None:
    """A mean over neighbours has noise of its own, which is not the factor's."""
    found, x = predictor(20_000)
    noise = np.random.default_rng(0).normal(size=len(x))
    raw = np.sqrt(12 * expected) * x + np.sqrt(1 - expected) * noise
    value, error = found.score("object_xpos", raw, "r2")
    assert abs(value - expected) < 4 * error < 0.03


@pytest.mark.parametrize(("n_labels", "strength"), [(4, 0.08), (10, 0.05), (10, 0.25), (10, 1.0)])
def test_a_label_given_a_number(n_labels: int, strength: float) -> None:
    """The label is that of x's interval with some probability, else any: votes of few neighbours are luck."""
    found, x = predictor(20_000)
    rng = np.random.default_rng(0)
    own = (x * n_labels).astype(int)
    raw = np.where(rng.random(len(x)) < strength, own, rng.integers(n_labels, size=len(x)))
    value, error = found.score("object_xpos", raw, "accuracy")
    assert abs(value - (strength + (1 - strength) / n_labels)) < 4 * error + 0.002


def test_a_number_given_labels_of_which_there_are_few_samples() -> None:
    """Of eight samples of each joint value, a mean errs by an eighth of the variance that content does not tell."""
    given = 'not (object_shape == "cow" and object_xpos == "right" and object_ypos == "top")'
    spec = parse_spec(f"{{extends: m3di, name: t, given: {given}}}", where="test")
    found = ContentPredictor(spec, content_block(spec), sample(spec, "train", 1_000, seed=0))
    signal = np.sum([raw / raw.std() for raw in found.raw.values()], axis=0)
    signal /= signal[500:].std()  # the second half is scored
    rng = np.random.default_rng(0)
    scores = [found.score("object_xpos", signal + rng.normal(size=1_000), "r2")[0] for _ in range(20)]
    assert np.mean(scores) == pytest.approx(0.5, abs=0.02)


COLLIDER = """
extends: image-pairs
name: collider
factors:
  background_color: {mechanism: {name: truncated_normal, parents: [object_zpos], std: 1.0}}
  spotlight_color: {mechanism: {name: truncated_normal, parents: [object_xpos], std: 1.0}}
"""


def test_only_content_that_can_tell_is_looked_at() -> None:
    """Content of other causes would only keep neighbours apart; the causes of one condition are one block."""
    spec = parse_spec(COLLIDER, where="test")
    content = content_block(spec)
    assert content == {"object_xpos", "object_ypos", "object_zpos"}
    assert related_content(spec, content, "background_color") == {"object_zpos"}
    assert related_content(spec, content, "object_alpharot") == set()
    together = parse_spec(f"{COLLIDER}given: object_zpos > object_xpos - 1", where="test")
    assert related_content(together, content, "background_color") == {"object_xpos", "object_zpos"}
    assert related_content(together, content, "object_alpharot") == set()


def test_few_samples_tell_of_what_depends_on_one_number_of_many() -> None:
    """The name of a hue is a function of the hue, which is content beside six other factors."""
    name = by_name("misaligned-captions", "text", "object_hue_name", n=4_000)
    assert name.method == "monte carlo"
    assert name.value > 0.95


@pytest.mark.slow
def test_views_of_other_worlds() -> None:
    """A counterfactual position is not the content: the factual one tells nothing of it."""
    found = by_name("m3di-counterfactual", "image_do_object_xpos", "object_xpos")
    assert found.value == pytest.approx(found.chance, abs=0.02)


def test_an_estimate_is_scored_on_samples_that_it_has_not_seen() -> None:
    """Few samples for each value of the content: a predictor that had seen them would know most by heart."""
    known = by_name("m3di", "text", "text_color")
    few = by_name("m3di", "text", "text_color", n=600)
    assert few.method == "monte carlo"
    assert few.value < known.value + 0.05
