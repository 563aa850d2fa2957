"""The defining statistics of every built-in spec, on 100,000 samples."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from m3di.latents import Samples, load_spec, sample, spec_names
from tests.conftest import slow

N = 100_000
BLOCKS = {
    "rotation": ["object_alpharot", "object_betarot", "spotlight_pos"],
    "position": ["object_xpos", "object_ypos", "object_zpos"],
    "hue": ["object_color", "spotlight_color", "background_color"],
}
BOXES = [f"box-{'-'.join(order)}{end}" for order in itertools.permutations(BLOCKS) for end in ("", "-causal")]
Z = 4.5 / np.sqrt(N)  # correlations of independent samples stay below


def draw(name: str) -> Samples:
    return sample(load_spec(name), "train", N)


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one, other)[0, 1])


def is_uniform(values: np.ndarray, low: float, high: float) -> bool:
    return bool(stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue > 1e-4)


def test_all_presets_are_there() -> None:
    assert set(spec_names()) == {
        *("m3di", "m3di-independent", "m3di-counterfactual", "m3di-sequence", "m3di-three-views"),
        *("image-pairs", "image-pairs-causal", "3dident", "3dident-periodic", "causal3dident"),
        *BOXES,
    }


def test_m3di() -> None:
    image = draw("m3di").views["image"]
    np.testing.assert_array_equal(np.floor(3 * image["object_color"]), image["object_xpos"])
    assert is_uniform(image["object_color"], 0, 1)
    assert is_uniform(3 * image["object_color"] % 1, 0, 1)
    for name, n in (("object_shape", 7), ("object_xpos", 3), ("object_ypos", 3)):
        assert stats.chisquare(np.bincount(image[name], minlength=n)).pvalue > 1e-4
    table = np.histogram2d(image["object_shape"], image["object_xpos"], bins=(7, 3))[0]
    assert stats.chi2_contingency(table).pvalue > 1e-4


def test_m3di_independent() -> None:
    image = draw("m3di-independent").views["image"]
    assert abs(correlation(image["object_color"], image["object_xpos"])) < Z
    for position in range(3):
        assert is_uniform(image["object_color"][image["object_xpos"] == position], 0, 1)


def test_m3di_three_views() -> None:
    views = draw("m3di-three-views").views
    one, other = views["image"], views["image_changed"]
    for name in ("object_shape", "object_xpos", "object_ypos", "background_color"):
        np.testing.assert_array_equal(one[name], other[name])
    for name in ("object_alpharot", "spotlight_pos", "spotlight_color", "object_color"):
        assert (one[name] != other[name]).mean() == pytest.approx(0.5, abs=0.01)
    assert np.abs(one["object_color"] - other["object_color"]).max() < 0.6
    np.testing.assert_array_equal(views["text"]["object_shape"], other["object_shape"])


@pytest.mark.parametrize("name", ["image-pairs", *BOXES[-2:], *slow("image-pairs-causal", *BOXES[:-2])])
def test_pairs(name: str) -> None:
    """Roles of the three blocks, and the arrows between them."""
    causal = name.endswith("-causal")
    content, style, private = (
        name.removeprefix("box-").removesuffix("-causal").split("-")
        if name.startswith("box")
        else ("position", "hue", "rotation")
    )
    first, second = draw(name).views.values()
    for factor in BLOCKS[content]:
        np.testing.assert_array_equal(first[factor], second[factor])
    for factor in BLOCKS[style]:
        assert (first[factor] != second[factor]).mean() > 0.999
        assert 0.15 < correlation(first[factor], second[factor]) < 0.4  # normal of std 1, truncated to [-1, 1]
    varied = [(first[factor].std() > 0, second[factor].std() > 0) for factor in BLOCKS[private]]
    assert varied == [(True, False), (False, False), (False, True)]
    if name == "image-pairs-causal":
        arrows = {("object_zpos", "background_color"), ("object_color", "spotlight_color")}
    elif causal:
        (c1, c2, c3), (s1, s2, s3) = BLOCKS[content], BLOCKS[style]
        arrows = {(c2, c1), (c3, s3), (s2, s1)}
    else:
        arrows = set()
    names = [*BLOCKS[content], *BLOCKS[style], BLOCKS[private][0]]
    for one, other in itertools.combinations(names, 2):
        if {(one, other), (other, one)} & arrows:
            assert 0.2 < correlation(first[one], first[other]) < 0.4
        else:
            assert abs(correlation(first[one], first[other])) < Z, (one, other)
    for factor in names:
        if not any(factor == child for _, child in arrows):
            assert is_uniform(first[factor], -1, 1)


def test_3dident() -> None:
    image = draw("3dident").views["image"]
    names = [name for name in image if name != "render_seed"]
    assert len(names) == 10
    assert all(is_uniform(image[name], -1, 1) for name in names)
    correlations = np.corrcoef([image[name] for name in names])
    assert np.abs(correlations - np.eye(10)).max() < Z
