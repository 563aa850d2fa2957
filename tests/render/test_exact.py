"""The same sample gives the same bytes, whatever the worker that renders it has rendered before. Real renders."""

from __future__ import annotations

import random
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from m3di import data, generate
from m3di.latents import load_spec
from m3di.render import QUALITIES, RenderedImage, RenderJob, RenderPool, RenderSettings, SceneValues
from tests.render.test_blender import VALUES, in_worker

pytestmark = pytest.mark.slow

SHAPES = load_spec("m3di").factors["object_shape"].names


def different_scenes() -> list[SceneValues]:
    """Every shape, material and ground, some lights left out, something in each corner."""
    places = [(-3.0, -3.0, 0.0), (3.0, 3.0, 0.0), (0.0, 0.0, 1.0), (40.0, 60.0, 0.0)]
    scenes = [
        replace(
            VALUES,
            shape=shape,
            material=("rubber", "metal", "crystal")[number % 3],
            location_m=places[number % 3],
            rotation_rad=(0.3 * number, 0.1, -0.4 * number),
            ground="checker" if number % 4 == 3 else "plain",
            ground_rgb=(0.1 * number, 0.6, 0.3),
            lights=("sun", "area", "spotlight")[number % 2 :],
            seed=number,
        )
        for number, shape in enumerate(SHAPES)
    ]
    return [*scenes, replace(scenes[0], location_m=places[3])]


def render(scenes: list[SceneValues], quality: str, n_workers: int) -> list[RenderedImage]:
    settings = RenderSettings(32, QUALITIES[quality], n_threads=1, passes=("mask", "depth", "normal"))
    with RenderPool(settings, n_workers) as pool:
        return list(pool.render([RenderJob(str(number), values) for number, values in enumerate(scenes)]))


@pytest.mark.parametrize("quality", ["standard", "draft"])
def test_bytes_do_not_depend_on_the_worker_nor_on_what_it_rendered_before(quality: str) -> None:
    scenes = different_scenes()
    in_order = render(scenes, quality, n_workers=1)
    order = random.Random(3).sample(range(len(scenes)), len(scenes))
    shuffled = render([scenes[number] for number in order], quality, n_workers=2)
    for number, image in zip(order, shuffled, strict=True):
        assert image == in_order[number], scenes[number]
    assert render(scenes[-2:-1], quality, n_workers=1) == in_order[-2:-1]  # as the first image of a worker
    assert len({image.png for image in in_order}) == len(scenes)


def test_bytes_do_not_depend_on_shards_nor_on_what_was_there_before(rendered_dataset: Path, tmp_path: Path) -> None:
    """Shards of two instead of four, in one process instead of all; two of them lost, and rendered again."""
    out = tmp_path / "other"
    options = generate.RenderOptions(
        out=out, n_train=9, n_val=1, n_test=1, size_px=48, quality="draft", shard_size=2, n_workers=1
    )
    generate.render(options)
    for name in ("train-00003.tar", "train-00001.tar"):
        (out / name).unlink()
    generate.render(replace(options, n_workers=2))
    ours, theirs = contents_of(out), contents_of(rendered_dataset)
    assert len(ours) == 9 * 3
    assert ours == theirs


def contents_of(root: Path) -> dict[tuple[str, str], bytes]:
    """Files of all training samples, by key and extension."""
    return {
        (sample.key, extension): path.read_bytes()[member.offset : member.offset + member.size]
        for path in sorted(root.glob("train-*.tar"))
        for sample in data.read_shard(path)
        for extension, member in sample.members.items()
    }


def _passes_whole_and_in_part(scenes: list[SceneValues]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """In a worker: the passes of the whole image, and those of the lone ground with the object's rectangle in it."""
    from m3di.render.blender.open_scene import BlenderScene

    scene = BlenderScene(64, QUALITIES["draft"], 1)
    pairs = []
    for values in scenes:
        _, in_part = scene.render(values)
        pairs.append((asdict(scene._passes()), asdict(in_part)))  # the class itself lies in a module that imports bpy
    return pairs


def test_passes_of_the_object_s_rectangle_are_those_of_the_whole_image() -> None:
    for whole, in_part in in_worker(_passes_whole_and_in_part, different_scenes()):
        assert whole.keys() == in_part.keys()
        for name, array in whole.items():
            assert np.array_equal(array, in_part[name]), name


def _with_and_without_the_speck(scenes: list[SceneValues]) -> list[Any]:
    """In a worker: each image twice, and in between the speck comes that keeps a GPU's kernels as they are."""
    from m3di.render.blender.open_scene import BlenderScene, keep_transparency

    scene = BlenderScene(48, QUALITIES["draft"], 1)
    before = [scene.render(values)[0] for values in scenes]
    keep_transparency(scene.scene)
    return list(zip(before, [scene.render(values)[0] for values in scenes], strict=True))


def test_the_speck_that_keeps_a_gpu_s_kernels_is_not_seen() -> None:
    for before, after in in_worker(_with_and_without_the_speck, different_scenes()):
        assert np.array_equal(before, after)
