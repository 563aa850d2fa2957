from __future__ import annotations

import colorsys

import numpy as np
import pytest

from m3di.errors import UsageError
from m3di.latents import MECHANISMS, Parent, hsv_to_rgb, load_spec, palette
from m3di.latents.colors import Palette


@pytest.mark.parametrize("hue", [-0.25, -0.2, -1 / 6, -0.1, -1e-9, 0.0, 0.1, 1 / 3, 0.49, 0.7, 0.999, 1.0])
@pytest.mark.parametrize("saturation", [0.6, 0.8, 1.0])
def test_published_wheel_is_that_of_python(hue: float, saturation: float) -> None:
    expected = colorsys.hsv_to_rgb(hue, saturation, 1.0)
    np.testing.assert_allclose(hsv_to_rgb(hue, saturation, 1.0, wheel="published"), expected, atol=1e-12)


def test_published_wheel_leaves_the_cube_for_negative_hues() -> None:
    assert hsv_to_rgb(-0.25, 0.8, 1.0, wheel="published")[2] == pytest.approx(1.4)
    assert hsv_to_rgb(-0.1, 0.8, 1.0, wheel="published")[1] == pytest.approx(-0.28)


def test_proper_wheel_wraps() -> None:
    np.testing.assert_allclose(hsv_to_rgb(-0.25, 0.8, 1.0), hsv_to_rgb(0.75, 0.8, 1.0))
    np.testing.assert_allclose(hsv_to_rgb([0.0, 1 / 3, 2 / 3], 1.0, 1.0), np.eye(3), atol=1e-12)


@pytest.mark.parametrize(("name", "n"), [("tableau", 10), ("css4", 148), ("xkcd", 949)])
def test_palettes(name: str, n: int) -> None:
    colors = palette(name)
    assert len(colors.names) == len(colors.hex) == len(colors.rgb) == n
    # Every colour is nearest to itself, or to the last alias with its RGB.
    nearest = colors.nearest(colors.rgb)
    np.testing.assert_array_equal(colors.rgb[nearest], colors.rgb)
    assert (nearest >= np.arange(n)).all()


def test_nearest_is_the_euclidean_one() -> None:
    colors = palette("xkcd")
    rgb = np.random.default_rng(0).random((200, 3))
    distance = np.linalg.norm(rgb[:, None] - colors.rgb[None], axis=-1)
    np.testing.assert_array_equal(colors.nearest(rgb), distance.argmin(axis=1))


def test_of_two_names_the_published_generators_answers() -> None:
    """The later one in the list: cyan, magenta and the grey spellings, as in the published captions."""
    colors = palette("css4")
    pairs = {"aqua": "cyan", "fuchsia": "magenta", "gray": "grey", "darkgray": "darkgrey", "slategray": "slategrey"}
    for other, name in pairs.items():
        assert colors.names[colors.nearest(colors.rgb[[colors.names.index(other)]])[0]] == name
    of = np.array([colors.names[index] for index in colors.nearest(hsv_to_rgb(np.linspace(0, 1, 3000), 1.0, 1.0))])
    assert not {"aqua", "fuchsia"} & set(of)
    assert np.isin(of, ["cyan", "magenta"]).mean() == pytest.approx(0.13, abs=0.01)  # of all hues, as published


def test_unknown_palette() -> None:
    with pytest.raises(UsageError, match=r"no palette is called 'xkdc'(?s:.)*did you mean 'xkcd'"):
        palette("xkdc")


def test_a_colour_name_is_that_of_the_colour_which_is_drawn() -> None:
    """Also on the published wheel, where negative hues are no turns."""
    spec = load_spec("m3di")
    hue, names = spec.factors["background_color"], spec.factors["text_color"]
    raw, drawn = np.linspace(0.0, 1.0, 300), np.full(300, 1)
    parents = [Parent(hue, raw), Parent(spec.factors["text_palette"], drawn)]
    index = MECHANISMS["nearest_color"].function(np.full(300, 0.5), parents, names)
    rgb = hsv_to_rgb(hue.physical(raw), hue.saturation, 1.0, wheel="published")
    np.testing.assert_array_equal(index - len(palette("tableau").names), palette("css4").nearest(rgb))
    wrapped = hsv_to_rgb(hue.physical(raw), hue.saturation, 1.0)
    assert not np.array_equal(palette("css4").nearest(rgb), palette("css4").nearest(wrapped))


def test_halfway_between_two_colours_the_first_of_them_answers() -> None:
    """Steps of 1/64 are exact in binary, so that both distances are the same number."""
    steps = np.random.default_rng(0).permutation(40)
    grey = Palette(tuple(map(str, steps)), np.repeat(steps[:, None] / 64, 3, axis=1), ("",) * 40)
    halfway = np.repeat((np.arange(39)[:, None] + 0.5) / 64, 3, axis=1)
    place = np.argsort(steps)  # of each step in the list
    np.testing.assert_array_equal(grey.nearest(halfway), np.minimum(place[:-1], place[1:]))
