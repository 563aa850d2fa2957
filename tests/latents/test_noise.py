from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m3di.latents import uniforms

LONG = uniforms(0, "train", "hue", "image", start=0, n=400)


def test_known_answer() -> None:
    """Pins the streams: data already rendered must stay what it is."""
    first = uniforms(0, "train", "object_shape", "", start=0, n=3)
    np.testing.assert_array_equal(first, [0.9044981668170059, 0.125698476337062, 0.5121252890925186])


@settings(deadline=None)
@given(start=st.integers(0, 300), n=st.integers(0, 100))
def test_number_i_does_not_depend_on_where_one_starts(start: int, n: int) -> None:
    np.testing.assert_array_equal(uniforms(0, "train", "hue", "image", start=start, n=n), LONG[start : start + n])


@pytest.mark.parametrize(
    "other",
    [(1, "train", "hue", "image"), (0, "val", "hue", "image"), (0, "train", "x", "image"), (0, "train", "hue", "")],
)
def test_every_part_of_the_key_gives_another_stream(other: tuple[int, str, str, str]) -> None:
    changed = uniforms(*other, start=0, n=400)
    assert not np.isin(changed, LONG).any()
    assert abs(np.corrcoef(changed, LONG)[0, 1]) < 0.2


def test_parts_of_the_key_do_not_run_into_each_other() -> None:
    assert uniforms(0, "train", "ab", "c", start=0, n=1) != uniforms(0, "train", "a", "bc", start=0, n=1)


def test_numbers_are_uniform_in_the_open_interval() -> None:
    numbers = uniforms(7, "test", "x", "", start=0, n=100_000)
    assert numbers.min() > 0.0
    assert numbers.max() < 1.0
    counts, _ = np.histogram(numbers, bins=20, range=(0, 1))
    chi_square = ((counts - 5_000) ** 2 / 5_000).sum()
    assert chi_square < 43.8  # quantile 0.999 with 19 degrees of freedom
