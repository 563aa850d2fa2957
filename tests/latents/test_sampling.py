from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m3di.errors import UsageError
from m3di.latents import SPLITS, Samples, Spec, load_spec, palette, parse_spec, sample, spec_names

N = 20_000


@pytest.fixture(scope="module")
def drawn(spec: Spec) -> Samples:
    return sample(spec, "train", N, seed=1)


def test_factors_of_both_views(drawn: Samples) -> None:
    assert list(drawn.views) == ["image", "text"]
    assert set(drawn.views["image"]) == {
        *("object_shape", "object_xpos", "object_ypos", "object_zpos", "object_color", "render_seed"),
        *("object_alpharot", "object_betarot", "object_gammarot"),
        *("spotlight_pos", "spotlight_color", "background_color"),
    }
    assert set(drawn.views["text"]) == {
        *("object_shape", "object_xpos", "object_ypos", "text_color", "text_palette", "text_phrasing"),
    }


def test_content_is_shared(drawn: Samples) -> None:
    for name in ("object_shape", "object_xpos", "object_ypos"):
        np.testing.assert_array_equal(drawn.views["image"][name], drawn.views["text"][name])


@pytest.mark.parametrize(("name", "n"), [("object_shape", 7), ("object_xpos", 3), ("object_ypos", 3)])
def test_categorical_factors_are_uniform(drawn: Samples, name: str, n: int) -> None:
    counts = np.bincount(drawn.views["image"][name], minlength=n)
    assert len(counts) == n
    assert ((counts - N / n) ** 2 / (N / n)).sum() < 22.5  # quantile 0.999 with 6 degrees of freedom


def test_continuous_factors_are_uniform(drawn: Samples) -> None:
    for name in ("object_alpharot", "object_betarot", "object_gammarot", "object_color", "spotlight_pos"):
        ordered = np.sort(drawn.views["image"][name])
        assert np.abs(ordered - (np.arange(N) + 0.5) / N).max() < 1.95 / np.sqrt(N)  # Kolmogorov-Smirnov, 0.999


def test_hue_lies_in_the_third_that_the_x_position_selects(drawn: Samples) -> None:
    image = drawn.views["image"]
    np.testing.assert_array_equal(np.floor(3 * image["object_color"]), image["object_xpos"])


def test_independent_factors_are_uncorrelated(drawn: Samples) -> None:
    image = drawn.views["image"]
    names = [name for name in image if name not in ("object_zpos", "object_xpos", "object_color")]
    correlations = np.corrcoef([image[name] for name in names])
    np.fill_diagonal(correlations, 0.0)
    assert np.abs(correlations).max() < 4.0 / np.sqrt(N)


def test_color_name_is_the_nearest_in_the_drawn_palette(spec: Spec, drawn: Samples) -> None:
    import colorsys

    text = drawn.views["text"]
    factor = spec.factors["text_color"]
    for row in range(50):
        name = spec.factors["text_palette"].value_name(text["text_palette"][row])
        colors = palette(name)
        rgb = colorsys.hsv_to_rgb(drawn.views["image"]["object_color"][row], 1.0, 1.0)
        distance = np.linalg.norm(colors.rgb - rgb, axis=1)
        same = (colors.rgb == colors.rgb[distance.argmin()]).all(axis=1)
        assert factor.value_name(text["text_color"][row]) == colors.names[np.flatnonzero(same)[-1]]


def test_a_sample_depends_on_its_index_only(spec: Spec, drawn: Samples) -> None:
    part = sample(spec, "train", 17, seed=1, start=1003)
    for view, factors in part.views.items():
        for name, values in factors.items():
            np.testing.assert_array_equal(values, drawn.views[view][name][1003:1020])


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(
    name=st.sampled_from(spec_names()),
    split=st.sampled_from(SPLITS),
    start=st.integers(0, 70),
    n=st.integers(0, 30),
)
def test_any_shard_of_any_spec_is_part_of_the_whole(name: str, split: str, start: int, n: int) -> None:
    spec = load_spec(name)
    whole, part = sample(spec, split, 100, seed=5), sample(spec, split, n, seed=5, start=start)
    for view, factors in part.views.items():
        for factor, values in factors.items():
            np.testing.assert_array_equal(values, whole.views[view][factor][start : start + n])


def test_splits_and_seeds_differ(spec: Spec, drawn: Samples) -> None:
    for other in (sample(spec, "val", N, seed=1), sample(spec, "train", N, seed=2)):
        assert not np.isin(other.views["image"]["object_alpharot"], drawn.views["image"]["object_alpharot"]).any()


def test_physical_values(spec: Spec, drawn: Samples) -> None:
    image, raw = drawn.columns()["image"], drawn.views["image"]
    np.testing.assert_allclose(image["object_xpos_m"], 3.0 * raw["object_xpos"] - 3.0)
    np.testing.assert_allclose(image["object_alpharot_rad"], np.pi * raw["object_alpharot"] - np.pi / 2)
    np.testing.assert_allclose(image["spotlight_color_hue"], (raw["spotlight_color"] - 0.5) / 2)
    assert image["object_shape_name"][0] == spec.factors["object_shape"].names[raw["object_shape"][0]]
    assert (image["object_zpos"] == 0).all()


SMALL = """
name: small
factors:
  a: {type: categorical, kind: label, values: [x, y]}
  b:
    type: continuous
    kind: hue
    range: [0, 1]
    mechanism: {name: binned, parents: [a], strength: STRENGTH}
views:
  one: {modality: image, shape: cow, factors: {a: {role: private, recorded: true}, b: {role: style, recorded: true}}}
  two: {modality: image, shape: cow, factors: {b: {role: content, recorded: true}}}
splits: {train: 1}
"""


def test_strength_interpolates_between_independent_and_bound() -> None:
    bound, half, free = (
        sample(parse_spec(SMALL.replace("STRENGTH", s), where="test"), "train", 500) for s in ("1", "0.5", "0")
    )
    one = [drawn.views["one"]["b"] for drawn in (bound, half, free)]
    np.testing.assert_allclose(one[1], (one[0] + one[2]) / 2)
    np.testing.assert_array_equal(np.floor(2 * one[0]), bound.views["one"]["a"])
    assert abs(np.corrcoef(one[2], free.views["one"]["a"])[0, 1]) < 0.15


def test_private_parents_make_style_differ_between_views() -> None:
    drawn = sample(parse_spec(SMALL.replace("STRENGTH", "1"), where="test"), "train", 500)
    one, two = drawn.views["one"], drawn.views["two"]
    np.testing.assert_array_equal(np.floor(2 * one["b"]), one["a"])  # the arrow holds in the view
    same = np.floor(2 * two["b"]) == one["a"]
    np.testing.assert_array_equal(one["b"][same], two["b"][same])  # noise is shared
    assert not same.all()


@pytest.mark.parametrize(
    ("split", "n", "seed", "start", "message"),
    [
        ("trian", 1, 0, 0, "no split is called 'trian'"),
        ("train", -1, 0, 0, "n is negative"),
        ("train", 1, -1, 0, "seed is negative"),
        ("train", 1, 0, -1, "start is negative"),
    ],
)
def test_bad_calls(spec: Spec, split: str, n: int, seed: int, start: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        sample(spec, split, n, seed=seed, start=start)
