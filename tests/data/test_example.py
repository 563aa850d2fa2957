"""The dataset that comes with m3di: what is promised of it, and the copy of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from m3di import data
from m3di.cli.main import cli
from m3di.errors import M3diError
from m3di.latents import load_spec, sample


@pytest.mark.slow
def test_it_is_whole_and_small() -> None:
    manifest = data.verify(data.EXAMPLE)
    assert manifest.n_samples == {"train": 600, "val": 150, "test": 150}
    assert (manifest.seed, manifest.render["size_px"], manifest.render["quality"]) == (0, 64, "standard")
    assert manifest.extensions["image"] == "webp"
    assert sum(path.stat().st_size for path in data.EXAMPLE.iterdir()) < 6e6


def test_its_latents_are_those_of_the_spec_of_today() -> None:
    """Whoever changes the spec renders the example again: `make example`."""
    spec = load_spec("m3di")
    table = data.open_source(data.open_to_read(data.EXAMPLE)).table("test")
    drawn = sample(spec, "test", 150, seed=0).views
    assert np.array_equal(table["image.object_color"].to_numpy(), drawn["image"]["object_color"])
    assert np.array_equal(table["text.text_color"].to_numpy(), drawn["text"]["text_color"])


def test_load_example() -> None:
    pairs = data.load_example("val", views="image", factors=["object_shape"], filter="image.object_xpos == 0")
    assert 0 < len(pairs) < 150
    assert set(pairs[0]) == {"image", "z_image"}


@pytest.mark.slow
def test_a_copy_is_a_dataset_like_any_other(tmp_path: Path) -> None:
    out = tmp_path / "mine"
    result = CliRunner().invoke(cli, ["example", str(out)], catch_exceptions=False)
    assert result.output == f"{out}: train 600, val 150, test 150 samples\n"
    assert data.verify(out) == data.read_manifest(data.EXAMPLE)
    with pytest.raises(M3diError, match="not empty"):
        data.copy_example(out)
