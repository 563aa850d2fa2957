"""Options about images, where a spec shows none: refused on every road, and told nowhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from m3di import data, generate
from m3di.errors import UsageError
from m3di.generate.options import IMAGE_OPTIONS
from m3di.generate.repair import repair
from m3di.generate.twins import render_twin
from tests.conftest import slow, write_fake_dataset

GIVEN = {
    "size_px": (64, "--size"),
    "quality": ("draft", "--quality"),
    "gpu": (True, "--gpu"),
    "passes": (("mask",), "--passes"),
    "n_workers": (2, "--workers"),
    "worker_memory_gb": (2.0, "--worker-memory"),
    "image_timeout_s": (60.0, "--image-timeout"),
}


@pytest.fixture
def words(tmp_path: Path) -> str:
    (tmp_path / "words.yaml").write_text("extends: m3di\nname: words\nviews: {image: null}\n")
    return str(tmp_path / "words.yaml")


def wanted(words: str, **options: Any) -> generate.RenderOptions:
    sizes = {"n_train": 4, "n_val": 2, "n_test": 2}
    return generate.RenderOptions(out=Path(words).with_name("data"), spec=words, **sizes, **options)


@pytest.mark.parametrize(
    "name", ["size_px", "worker_memory_gb", *slow(*sorted(GIVEN.keys() - {"size_px", "worker_memory_gb"}))]
)
def test_each_is_refused(words: str, name: str) -> None:
    assert set(IMAGE_OPTIONS) == GIVEN.keys() | {"gpu_devices", "gpu_backend"}  # which need --gpu
    value, option = GIVEN[name]
    for road in (generate.render, generate.dry_run):
        with pytest.raises(
            UsageError, match=rf"{option} is about images(?s:.)*views are text\n(?s:.)*leave {option} out"
        ):
            road(wanted(words, **{name: value}))
    assert not Path(words).with_name("data").exists()


def test_several_are_named_at_once(words: str) -> None:
    with pytest.raises(UsageError, match=r"--size, --workers are about images(?s:.)*leave --size and --workers out"):
        generate.render(wanted(words, n_workers=2, size_px=64))


def test_nothing_is_told_of_images(words: str) -> None:
    options = wanted(words, size_px=224)  # the default says nothing
    planned = str(generate.dry_run(options))
    generate.render(options)
    assert "plan      words into " in planned and "px" not in planned
    assert f"made      rendered, seed 0; m3di {data.read_manifest(options.out).render['m3di']}\n" in data.info(
        options.out
    )
    assert data.facts(options.out)["render"].keys() == {"m3di"}


@pytest.fixture
def older(words: str) -> Path:
    """A dataset of an older m3di, which noted what was asked for."""
    return write_fake_dataset(Path(words).with_name("older"), spec=words, size_px=40, quality="draft")


def test_a_dataset_that_notes_them_is_repaired_and_has_twins(older: Path) -> None:
    (older / "val-00000.tar").unlink()
    assert repair(older) == ["val-00000.tar"]
    for _ in range(2):  # it is taken as it is
        twin, _name = render_twin(older, interventions=("object_shape=cow",))
    assert data.read_manifest(twin).render == data.read_manifest(older).render
    data.verify(twin)


def test_a_subset_of_no_images_has_no_format_of_them(older: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--images is about images(?s:.)*views text(?s:.)*leave --images out"):
        data.subset(older, tmp_path / "cut", images="webp")
    assert not (tmp_path / "cut").exists()


def test_workers_are_refused_in_repairs_and_twins(older: Path) -> None:
    with pytest.raises(UsageError, match="--workers is about images"):
        repair(older, n_workers=2)
    with pytest.raises(UsageError, match="--image-timeout is about images"):
        render_twin(older, interventions=("object_shape=cow",), image_timeout_s=9.0, n_workers=None)
