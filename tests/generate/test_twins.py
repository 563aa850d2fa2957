"""Twins of a dataset in another world: what is rendered, under which name, and from which noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from m3di import data
from m3di.errors import M3diError, UsageError
from m3di.generate.twins import render_twin


def columns(root: Path) -> dict[str, np.ndarray]:
    table = data.read_parquet(root / "test.parquet")
    return {name: table[name].to_numpy() for name in table.column_names}


@pytest.mark.usefixtures("pools")
def test_a_twin_has_the_noise_of_the_dataset_and_is_rendered_once(fake_dataset: Path, tmp_path: Path) -> None:
    root = tmp_path / "m3di"
    root.symlink_to(fake_dataset)
    seen: list[int] = []
    folder, name = render_twin(
        root, interventions=("object_xpos=right",), n_workers=1, progress=lambda done, total: seen.append(done)
    )
    assert (folder.name, name) == ("m3di-do-object_xpos-right", "do(object_xpos=right)")
    before, after = columns(root), columns(folder)
    assert (after["image.object_xpos"] == 2).all()
    assert np.array_equal(after["image.object_shape"], before["image.object_shape"])
    assert np.array_equal(after["image.spotlight_pos"], before["image.spotlight_pos"])
    assert data.read_manifest(folder).n_samples == {"train": 1, "val": 4, "test": 4}
    data.verify(folder)
    n_rendered = len(seen)
    assert render_twin(root, interventions=("object_xpos=right",), n_workers=1)[0] == folder
    assert len(seen) == n_rendered


@pytest.mark.slow
@pytest.mark.usefixtures("pools")
def test_a_twin_with_permuted_content(fake_dataset: Path, tmp_path: Path) -> None:
    root = tmp_path / "m3di"
    root.symlink_to(fake_dataset)
    folder, name = render_twin(root, permuted=True, n_workers=1)
    assert (folder.name, name) == ("m3di-permuted-content", "permuted content")
    before, after = columns(root), columns(folder)
    assert after["image_permuted.object_shape"].tolist() == before["image.object_shape"][[1, 0, 3, 2]].tolist()
    assert np.array_equal(after["image_permuted.object_color"], before["image.object_color"])
    assert after["text_permuted.caption"].tolist() != after["text.caption"].tolist()
    data.verify(folder)


def test_a_twin_needs_an_intervention_and_a_rendered_dataset(fake_dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no intervention is given"):
        render_twin(fake_dataset)
    data_root = tmp_path / "derived"
    from m3di.data import subset

    subset(fake_dataset, data_root, splits=("val",))
    with pytest.raises(M3diError, match="cannot be rendered in another world"):
        render_twin(data_root, permuted=True)


@pytest.mark.slow
def test_a_real_twin_shows_the_neighbours_object(rendered_dataset: Path, tmp_path: Path) -> None:
    """Same view, same noise: the permuted image differs, and the factual one is the dataset's, pixel for pixel."""
    from m3di import Multimodal3DIdent

    twin, _ = render_twin(rendered_dataset, permuted=True, out=tmp_path / "twin", n_workers=1)
    factual, permuted = Multimodal3DIdent(rendered_dataset, split="test")[0], Multimodal3DIdent(twin, split="test")[0]
    assert np.array_equal(factual["image"], permuted["image"])
    assert not np.array_equal(permuted["image_permuted"], permuted["image"])
    assert permuted["z_image_permuted"]["background_color"] == factual["z_image"]["background_color"]
