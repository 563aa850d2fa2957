"""The published tables against sampled data: the probability integral transform of each factor, class by class."""

from __future__ import annotations

import colorsys
from typing import Any

import numpy as np
import pytest
from matplotlib import colors as matplotlib_colors
from scipy import stats

from m3di.latents import Samples, arrows, load_spec, sample
from tests.conftest import slow

N = 50_000
LEAST_P = 1e-4
SHAPES = ("teapot", "hare", "dragon", "cow", "armadillo", "horse", "head")
# Causal3DIdent, appendix B.2, tables 2 to 4: signs of the rotations' means, of x and y; mean of the object's hue.
ROTATIONS = {
    "object_alpharot": (-0.35, 0.35, 0.35, 0.35, -0.35, -0.35, -0.35),
    "object_betarot": (0.35, -0.35, 0.35, -0.35, 0.35, -0.35, -0.35),
    "object_gammarot": (0.35, 0.35, -0.35, -0.35, -0.35, 0.35, -0.35),
}
SIDE = (0, -1, -1, 1, 1, -1, 1)
HUE = {"teapot": 0.0, "cow": -0.35, "armadillo": 0.7, "horse": -0.7, "head": 0.35}


def draw(name: str, seed: int = 0) -> Samples:
    return sample(load_spec(name), "train", N, seed=seed)


def p_uniform(values: np.ndarray, low: float = 0.0, high: float = 1.0) -> float:
    return float(stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue)


def transformed(values: np.ndarray, mean: np.ndarray | float) -> np.ndarray:
    """Quantiles under the published conditional: normal of std 0.5 around the mean, truncated to [-1, 1]."""
    low, high = (-1 - np.asarray(mean)) / 0.5, (1 - np.asarray(mean)) / 0.5
    return stats.truncnorm.cdf(values, low, high, loc=mean, scale=0.5)


@pytest.fixture(scope="module")
def causal() -> dict[str, np.ndarray]:
    return draw("causal3dident").views["image"]


def published_means(image: dict[str, np.ndarray], number: int) -> dict[str, Any]:
    """The mean of every object factor for one shape."""
    angle = image["spotlight_pos"] * np.pi / 2
    both = (image["background_color"] + image["spotlight_color"]) / 2
    hue: Any = {"hare": both, "dragon": -both}.get(SHAPES[number], HUE.get(SHAPES[number], 0.0))
    return {
        **{name: means[number] for name, means in ROTATIONS.items()},
        "object_xpos": SIDE[number] * np.sin(angle),
        "object_ypos": SIDE[number] * np.cos(angle),
        "object_zpos": 0.0,
        "object_color": hue,
    }


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 3, *slow(0, 2, 4, 5, 6)])
def test_causal3dident_follows_its_published_tables(causal: dict[str, np.ndarray], number: int) -> None:
    rows = causal["object_shape"] == number
    quantiles = {name: transformed(causal[name], mean)[rows] for name, mean in published_means(causal, number).items()}
    for name, each in quantiles.items():
        assert p_uniform(each) > LEAST_P, name
    # What is left is noise: independent of each other and of what is independent and uniform.
    free = [causal[name][rows] for name in ("spotlight_pos", "spotlight_color", "background_color")]
    correlations = np.corrcoef([*quantiles.values(), *free])
    np.fill_diagonal(correlations, 0.0)
    assert np.abs(correlations).max() < 4.5 / np.sqrt(rows.sum())


def test_what_is_independent_in_causal3dident_is_uniform(causal: dict[str, np.ndarray]) -> None:
    for name in ("spotlight_pos", "spotlight_color", "background_color"):
        assert p_uniform(causal[name], -1, 1) > LEAST_P, name
    assert stats.chisquare(np.bincount(causal["object_shape"], minlength=7)).pvalue > LEAST_P


def test_causal3dident_has_the_published_arrows_and_no_other() -> None:
    spec = load_spec("causal3dident")
    assert spec.factors["object_shape"].names == SHAPES
    assert arrows(spec, "image") == {
        *(("object_shape", name) for name in (*ROTATIONS, "object_xpos", "object_ypos", "object_color")),
        *(("spotlight_pos", name) for name in ("object_xpos", "object_ypos")),
        *((name, "object_color") for name in ("background_color", "spotlight_color")),
    }


@pytest.mark.parametrize("name", ["3dident", "causal3dident"])
def test_the_non_periodic_range_of_3dident(name: str) -> None:
    image = draw(name).columns()["image"]
    raw = draw(name).views["image"]
    for axis in "xyz":
        np.testing.assert_allclose(image[f"object_{axis}pos_m"], 3 * raw[f"object_{axis}pos"])
    for angle in ("object_alpharot", "object_betarot", "object_gammarot", "spotlight_pos"):
        np.testing.assert_allclose(image[f"{angle}_rad"], np.pi / 2 * raw[angle], atol=1e-12)
    for hue in ("object_color", "spotlight_color", "background_color"):
        np.testing.assert_allclose(image[f"{hue}_hue"], raw[hue] / 4, atol=1e-12)


def test_3dident_is_uniform() -> None:
    image = draw("3dident").views["image"]
    for name in set(image) - {"render_seed"}:
        assert p_uniform(image[name], -1, 1) > LEAST_P, name


@pytest.mark.slow
def test_the_periodic_range_of_3dident_is_that_of_a_point_on_a_sphere() -> None:
    """Against the angles of points that are drawn on the sphere in eight dimensions, as the published code has them."""
    image = draw("3dident-periodic").columns()["image"]
    for axis, low in (("x", -3), ("y", -3), ("z", 0)):
        assert p_uniform(image[f"object_{axis}pos_m"], low, 3) > LEAST_P
    points = np.random.default_rng(1).normal(size=(N, 8))
    tails = np.sqrt(np.cumsum(points[:, ::-1] ** 2, axis=1))[:, ::-1]
    polar = np.arccos(points[:, :6] / tails[:, :6])
    names = ["object_alpharot_rad", "object_betarot_rad", "object_gammarot_rad", "spotlight_pos_rad"]
    angles = [image[name] for name in names] + [
        2 * np.pi * image[f"{name}_hue"] for name in ("object_color", "spotlight_color")
    ]
    for number, angle in enumerate(angles):
        assert stats.ks_2samp(angle, 2 * polar[:, number]).pvalue > LEAST_P, number
    assert p_uniform(image["background_color_hue"], 0, 1) > LEAST_P
    correlations = np.corrcoef([*angles, image["background_color_hue"]])
    assert np.abs(correlations - np.eye(7)).max() < 4.5 / np.sqrt(N)


@pytest.mark.slow
def test_color_names_are_those_of_the_published_generator() -> None:
    """The hue that a name stands for, transformed by the published conditional distribution, is uniform in each class.

    The object's hue given x is uniform in its third; among the samples that are called by one CSS4 name, so is its
    place among the hues with that name, by the published rule (colours by RGB, the later name of two; nearest in RGB).
    """
    spec = load_spec("m3di")
    drawn = sample(spec, "train", N)
    by_rgb = {tuple(matplotlib_colors.to_rgb(code)): name for name, code in matplotlib_colors.CSS4_COLORS.items()}
    known = np.array(list(by_rgb))

    def named(hues: np.ndarray) -> np.ndarray:
        rgb = np.array([colorsys.hsv_to_rgb(hue, 1.0, 1.0) for hue in hues])
        squares = (rgb**2).sum(1)[:, None] - 2 * rgb @ known.T + (known**2).sum(1)
        return np.array(list(by_rgb.values()))[squares.argmin(axis=1)]

    text, hue = drawn.views["text"], drawn.views["image"]["object_color"]
    rows = text["text_palette"] == spec.factors["text_palette"].names.index("css4")
    names = np.array(spec.factors["text_color"].names)[text["text_color"][rows]]
    assert p_uniform(hue[rows] * 3 % 1) > LEAST_P
    grid = (np.arange(30_000) + 0.5) / 30_000
    of_grid = named(grid)
    assert {"cyan", "magenta"} <= set(names) and not {"aqua", "fuchsia"} & set(names)
    for name in set(names):
        hues = np.sort(grid[of_grid == name])
        share = len(hues) / len(grid)
        assert (names == name).mean() == pytest.approx(share, abs=4.5 * np.sqrt(share / rows.sum()) + 1e-3), name
        quantiles = np.searchsorted(hues, hue[rows][names == name]) / len(hues)
        if len(quantiles) > 50:
            assert p_uniform(quantiles) > LEAST_P, name
